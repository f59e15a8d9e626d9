#: errors EFAULT EBUSY
#: runs 300
#: without map read

scenario "the device is registered, used and removed again and again beside munmap and mmap"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    repeat 2 {
        register gpu0
        gpu0.map 0x10000..0x12000
        gpu0.read 0x11000
        unregister gpu0
    }
    sync dev_done
}
task user {
    munmap A 0x11000..0x12000
    mmap A 0x11000..0x12000 rw anon
    munmap A 0x10000..0x11000
    sync user_done
}
task close {
    sync go
    exit A
}

order {
    dev@user.dev_done < close@user.go
    user@user.user_done < close@user.go
}
