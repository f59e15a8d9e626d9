# The kernel's HMM test driver: mirrors the whole address space, and looks at it without faulting. Silent under every
# schedule; its mutants, and what finds each, are in docs/drivers/dmirror.md.

scenario "dmirror: faults and snapshots of an address space that changes"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : dmirror(A, 0x10000..0x20000)

task dev {
    gpu0.fault 0x10000..0x18000
    gpu0.write 0x12000 1
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.snapshot 0x10000..0x18000
    gpu0.read 0x14000
    gpu0.write 0x15000 2
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 3
    blocked_tasks == 0
}
