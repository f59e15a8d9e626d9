# Loud without priming: reclaim unmaps a page of *another* address space, which has no subscriber. With `wrap always`,
# as the thread's patch had it, that is enough to tie fs_reclaim to the map. `--set wrap_start=subscribed` makes it silent.

scenario "userptr: the map without priming, and reclaim of a stranger's page"

expect { LD-CIRCULAR }

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end none  wrap_start always  prime none }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}
mm B {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x12000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }
task pressure { reclaim B 0x10000..0x11000 }

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }

never { deadlock, stale }

assert {
    reclaim_invalidations == 0
    edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
}
