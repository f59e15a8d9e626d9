#: errors EFAULT EBUSY
#: runs 400

scenario "brackets within brackets, while the device maps: it waits for the last to close"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

# Or a flaw of the kernel would be taken for one of the driver (docs/flaws/refused-start.md).
behaviours { undo-refused-start }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x12000
    gpu0.read 0x10000
    sync dev_done
}
task user {
    notify A 0x10000..0x14000 {
        notify A 0x11000..0x12000 { munmap A 0x11000..0x12000 }
        notify nonblock A 0x10000..0x11000 { }
    }
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
