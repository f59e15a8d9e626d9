# Pages granted to another domain. Half of a map is unmapped, which splits the VMA; the other half stays granted.
# Silent under every schedule; its mutants, and what finds each, are in docs/drivers/gntdev.md.

scenario "gntdev: half of a grant is unmapped"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : gntdev(A, 0x10000..0x20000)

task dev {
    gpu0.map 0x11000..0x13000
    gpu0.write 0x11000 1
    gpu0.map 0x14000..0x16000
    sync mapped
}
task unmap { sync go  munmap A 0x12000..0x14000  sync unmapped  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    sync half
    gpu0.read 0x11000
    gpu0.unmap 0x11000..0x13000
    gpu0.map 0x14000..0x16000
    gpu0.write 0x15000 2
}

# The first map is there when its second page goes.
order {
    dev@user.mapped < unmap@user.go
    unmap@user.unmapped < again@user.half
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 1
    blocked_tasks == 0
}
