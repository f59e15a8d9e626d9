# Loud without priming and with `wrap subscribed`: now reclaim unmaps a page of the subscribed address space, outside
# the object, so that the 2019 driver is called and has nothing to do. `--set range_start=none` makes it silent.

scenario "userptr: only subscribed address spaces are wrapped, and reclaim of one of their pages"

expect { LD-CIRCULAR }

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end none  wrap_start subscribed  prime none }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x32000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }
task pressure { reclaim A 0x30000..0x31000 }

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }

never { deadlock, stale }

assert {
    edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
}
