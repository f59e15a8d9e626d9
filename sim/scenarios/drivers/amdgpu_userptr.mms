# A userptr buffer of which commands use pages that go. An invalidation waits for the commands in flight; a later
# command looks its pages up again. Silent under every schedule; its mutants, and what finds each, are in
# docs/drivers/amdgpu_userptr.md.

scenario "amdgpu userptr: commands in flight and pages that go"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task dev {
    gpu0.submit 0x12000..0x14000 1
    gpu0.submit_read 0x14000..0x16000
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.submit 0x14000..0x16000 2
    gpu0.wait
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 3
    acquired "reservation_ww_class_mutex" >= 3
    acquired "dma_fence_map" >= 1
    edge "reservation_ww_class_mutex" -> "&adev->notifier_lock"
    no edge "&adev->notifier_lock" -> "fs_reclaim"
    blocked_tasks == 0
}
