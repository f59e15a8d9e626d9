# A device that walks the process's page table. It hears of TLB flushes only, and may use what it has until then.
# Silent under every schedule; its mutants, and what finds each, are in docs/drivers/iommu_sva.md.

scenario "IOMMU SVA: a TLB that hears of flushes only"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : iommu_sva(A, 0x10000..0x20000)

task dev {
    gpu0.write 0x12000 1
    gpu0.read 0x14000
    gpu0.write 0x16000 2
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.read 0x12000
    gpu0.write 0x14000 3
    gpu0.read 0x16000
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.secondary_tlb >= 3
    blocked_tasks == 0
}
