# The same buffer, of a GPU that tells by an interrupt that a command is done: fences are signalled in its handler, and what
# hangs on them runs there. Silent under every schedule; turned loud by gpu0.mutant=done-locks-job-list (LD-IRQ), see
# docs/drivers/amdgpu_userptr.md.

scenario "amdgpu userptr: fences signalled from an interrupt"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { completion interrupt }

task dev {
    gpu0.submit 0x12000..0x14000 1
    gpu0.submit_read 0x14000..0x16000
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task mem { reclaim A 0x14000..0x18000 }
task again {
    gpu0.submit 0x14000..0x16000 2
    gpu0.wait
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 2
    acquired "&ring->fence_drv.lock" >= 3
    edge "reservation_ww_class_mutex" -> "&adev->notifier_lock"
    acquired "&sched->job_list_lock" >= 3
    blocked_tasks == 0
}
