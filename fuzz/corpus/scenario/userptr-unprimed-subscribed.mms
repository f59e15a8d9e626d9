# Silent: with `wrap subscribed` the map is only taken for address spaces that have a subscriber, and the page that
# reclaim unmaps here belongs to one that has none. `--set wrap_start=always` makes it loud.

scenario "userptr: only subscribed address spaces are wrapped, and reclaim of a stranger's page"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end none  wrap_start subscribed  prime none }

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

assert {
    callbacks gpu0.start >= 1
    reclaim_invalidations == 0
    edge "mmu_notifier_invalidate_range_start" -> "&obj->mm.lock"
    no edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
}
