#: errors EFAULT EBUSY
#: runs 300

scenario "a fork write-protects pages while the device uses them"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}
mm B { forked }

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map_write 0x10000..0x12000
    gpu0.write 0x10000 5
    gpu0.read 0x11000
    gpu0.map_write 0x10000..0x12000
    gpu0.read 0x10000
    sync dev_done
}
task proc {
    fork A B
    write A 0x11000 6
    write B 0x10000 7
    read A 0x10000
    exit B
    sync proc_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    dev@user.dev_done < close@user.go
    proc@user.proc_done < close@user.go
}
