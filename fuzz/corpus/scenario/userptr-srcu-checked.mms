# Silent, and that is what Linux does since 6.4: SRCU read sections take part in lockdep as recursive reads. A list
# subscriber's callback runs inside one, so what it locks hangs behind `map -(ER)-> srcu -(SN)-> lock`, which is no
# strong path: the inversion of userptr-reclaim.mms is not seen. `--set srcu=unchecked` (6.1 and before) makes it loud.

scenario "userptr: SRCU read sections known to the validator"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

annotations { range_start global  range_end shared  prime { fs_reclaim }  srcu checked }

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
    edge "mmu_notifier_invalidate_range_start" -> "srcu"
    edge "srcu" -> "&obj->mm.lock"
    no edge "mmu_notifier_invalidate_range_start" -> "&obj->mm.lock"
}
