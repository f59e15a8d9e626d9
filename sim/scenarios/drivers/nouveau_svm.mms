# Shared virtual memory with replayable faults. One subscriber for the address space takes translations away, one for
# each fault tells it to start over. Silent under every schedule; its mutants, and what finds each, are in
# docs/drivers/nouveau_svm.md.

scenario "nouveau SVM: faults against invalidations"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : nouveau_svm(A, 0x10000..0x20000)

task dev {
    gpu0.write 0x12000 1
    gpu0.read 0x14000
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.read 0x12000
    gpu0.write 0x14000 2
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.start >= 3
    edge "mmu_notifier_invalidate_range_start" -> "&svmm->mutex"
    no edge "&svmm->mutex" -> "mmu_notifier_invalidate_range_start"
    blocked_tasks == 0
}
