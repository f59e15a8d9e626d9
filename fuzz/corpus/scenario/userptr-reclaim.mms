# The deadlock of the linux-mm thread of August 2019, found from a run in which nothing deadlocks.
#
# The 2019 i915 driver allocates while it holds the object mutex, and its notifier callback takes that mutex. The two
# meet only if the allocation reclaims a page of the very object: nearly impossible to hit. Here nothing is reclaimed at
# all. The lockdep map around the callbacks, primed on entering fs_reclaim, ties the call chains together.
#
#   ioctl:   &obj->mm.lock -> fs_reclaim -> mmu_notifier_invalidate_range_start     (kmalloc under the mutex)
#   unmap:   mmu_notifier_invalidate_range_start -> &obj->mm.lock                   (the callback)

scenario "userptr: allocation under the object mutex, and a munmap"

expect { LD-CIRCULAR }

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end shared  prime { fs_reclaim } }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }

never { deadlock, stale }

assert {
    reclaim_invalidations == 0
    blocked_tasks == 0
    callbacks gpu0.start >= 1
    allocations under "&obj->mm.lock" >= 1
    edge "&obj->mm.lock" -> "fs_reclaim"
    edge "fs_reclaim" -> "mmu_notifier_invalidate_range_start"
    edge "mmu_notifier_invalidate_range_start" -> "&obj->mm.lock"
}
