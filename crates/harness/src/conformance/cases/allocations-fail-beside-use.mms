#: errors EFAULT EBUSY ENODEV
#: failures every
#: runs 100

scenario "each allocation fails once, and all from each on, while pages are reclaimed, unmapped and used"

machine { memory 16M  swap 4M  seed 1  max_steps 100000  failures on }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map_write 0x10000..0x13000
    gpu0.write 0x11000 5
    gpu0.read 0x12000
    gpu0.map 0x13000..0x15000
    sync dev_done
}
task user {
    reclaim A 0x10000..0x12000
    munmap A 0x12000..0x13000
    write A 0x11000
    sync user_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    dev@user.dev_done < close@user.go
    user@user.user_done < close@user.go
}
