#: errors EFAULT EBUSY
#: runs 600

scenario "two tasks map and access the same pages of the device, and a third maps them anew"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task one {
    gpu0.map 0x10000..0x12000
    gpu0.read 0x11000
    sync one_done
}
task two {
    gpu0.map_write 0x11000..0x13000
    gpu0.write 0x11000 3
    sync two_done
}
task user {
    munmap A 0x11000..0x12000
    mmap A 0x11000..0x12000 rw anon
    read A 0x11000
    sync user_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    one@user.one_done < close@user.go
    two@user.two_done < close@user.go
    user@user.user_done < close@user.go
}
