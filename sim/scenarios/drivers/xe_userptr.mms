# User memory bound into a GPU's address space; a command whose pages were invalidated binds them again. Silent under
# every schedule; its mutants, and what finds each, are in docs/drivers/xe_userptr.md.

scenario "xe userptr: bindings that are invalidated"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000)

task dev {
    gpu0.bind 0x10000..0x14000
    gpu0.exec 0x14000..0x16000 1
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.exec 0x12000..0x16000 2
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 3
    edge "mmu_notifier_invalidate_range_start" -> "&vm->userptr.notifier_lock"
    no edge "&vm->userptr.notifier_lock" -> "folio_lock"
    blocked_tasks == 0
}
