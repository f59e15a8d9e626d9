# The same userptr, of a GPU that sleeps while nobody uses it. Pages go while it does: the invalidation does not wake it, and
# what it notes makes the next command bind again. Silent under every schedule; turned loud by
# gpu0.mutant=forgets-while-suspended (STALE) and resumes-in-callback (LD-CIRCULAR), see docs/drivers/xe_userptr.md.

scenario "xe userptr: pages that go while the GPU sleeps"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000) { power runtime }

task dev {
    gpu0.again 0x12000..0x14000 1
    gpu0.wait_suspended
    sync asleep
    sync awake
    gpu0.again 0x12000..0x14000 2
    sync used
    gpu0.exec 0x14000..0x16000 3
}
task unmap {
    sync go
    munmap A 0x12000..0x14000
    mmap A 0x12000..0x14000 rw anon
    sync gone
}
task mem { sync late  reclaim A 0x14000..0x18000 }

order {
    dev@user.asleep < unmap@user.go
    unmap@user.gone < dev@user.awake
    dev@user.used < mem@user.late
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 2
    edge "&xe->d3cold.lock" -> "fs_reclaim"
    edge "xe_rpm_d3cold_map" -> "&xe->d3cold.lock"
    no edge "mmu_notifier_invalidate_range_start" -> "xe_rpm_d3cold_map"
    blocked_tasks == 0
}
