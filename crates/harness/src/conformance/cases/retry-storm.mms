#: errors EFAULT EBUSY
#: runs 400

scenario "one invalidation after the other while the device looks pages up: it gives up or succeeds, and hangs never"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x14000
    gpu0.read 0x10000
    sync dev_done
}
task one {
    repeat 4 { notify A 0x10000..0x12000 { } }
    sync one_done
}
task two {
    repeat 4 { notify A 0x12000..0x14000 { } }
    sync two_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    dev@user.dev_done < close@user.go
    one@user.one_done < close@user.go
    two@user.two_done < close@user.go
}
