# A guest, and the kernel's cached mapping of one of its pages. Slots are taken away and given back meanwhile. Silent
# under every schedule; its mutants, and what finds each, are in docs/drivers/kvm.md.

scenario "KVM: guest faults, a pfn cache and slots against invalidations"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : kvm(A, 0x10000..0x20000)

task dev {
    gpu0.write 0x12000 1
    gpu0.gpc_write 0x13000 2
    gpu0.read 0x14000
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.delete_slot 0x10000..0x20000
    gpu0.add_slot 0x10000..0x20000
    gpu0.write 0x12000 3
    gpu0.gpc_write 0x13000 4
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.start >= 3
    callbacks gpu0.end >= 3
    edge "&kvm->slots_lock" -> "&kvm->srcu"
    no edge "&(kvm)->mmu_lock" -> "fs_reclaim"
    blocked_tasks == 0
}
