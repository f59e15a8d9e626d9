# The kernel's own mapping of a virtqueue. While a bracket is open it copies through the process instead. Silent under
# every schedule; its mutants, and what finds each, are in docs/drivers/vhost_vq.md.

scenario "vhost: a kernel mapping of pages that go"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : vhost_vq(A, 0x10000..0x20000)

task dev {
    gpu0.write 0x12000 1
    gpu0.read 0x14000
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.write 0x12000 2
    gpu0.read 0x14000
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.start >= 3
    callbacks gpu0.end >= 3
    edge "mmu_notifier_invalidate_range_start" -> "&vq->mmu_lock"
    no edge "&vq->mmu_lock" -> "folio_lock"
    blocked_tasks == 0
}
