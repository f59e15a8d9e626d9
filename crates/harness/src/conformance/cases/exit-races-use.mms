#: errors EFAULT ENODEV EBUSY
#: runs 300

scenario "the process exits while the device maps and accesses"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x12000
    gpu0.read 0x10000
    gpu0.map_write 0x11000..0x13000
    gpu0.write 0x12000
    sync dev_done
}
task user {
    exit A
    sync user_done
}
task close {
    sync go
    unregister gpu0
}

order {
    dev@user.dev_done < close@user.go
    user@user.user_done < close@user.go
}
