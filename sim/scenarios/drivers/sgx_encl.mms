# An enclave: it hears only of the release, which the close of its VMA brings too, under mmap_lock. Silent under every
# schedule; its mutants, and what finds each, are in docs/drivers/sgx_encl.md.

scenario "SGX: release under mmap_lock"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : sgx_encl(A, 0x10000..0x20000)

task dev {
    gpu0.enter
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.enter
    gpu0.close
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.release == 1
    acquired "&encl->mm_lock" >= 3
    blocked_tasks == 0
}
