# Silent: the map is there, but nothing ties it to fs_reclaim until reclaim really unmaps a page, and nothing is
# reclaimed here. `--set prime=fs_reclaim` makes it loud.

scenario "userptr: the map without priming, and no reclaim"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end shared  wrap_start always  prime none }

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

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }

assert {
    callbacks gpu0.start >= 1
    allocations under "&obj->mm.lock" >= 1
    acquired "mmu_notifier_invalidate_range_start" >= 1
    reclaim_invalidations == 0
    edge "&obj->mm.lock" -> "fs_reclaim"
    edge "mmu_notifier_invalidate_range_start" -> "&obj->mm.lock"
    no edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
}
