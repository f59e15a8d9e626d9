# Silent: without a lockdep map around the callbacks the validator never sees that an allocation and a callback belong
# together. Everything else is as in userptr-reclaim.mms. `--set range_start=global` makes it loud.

scenario "userptr: no map around range_start"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start none  range_end shared  prime { fs_reclaim } }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }

assert {
    callbacks gpu0.start >= 1
    allocations under "&obj->mm.lock" >= 1
    acquired "mmu_notifier_invalidate_range_start" == 0
    edge "&obj->mm.lock" -> "fs_reclaim"
    no edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
    no edge "mmu_notifier_invalidate_range_start" -> "&obj->mm.lock"
}
