#: errors EFAULT EPERM
#: runs 20

scenario "pages that become read-only are not written by the device"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map_write 0x10000..0x14000
    gpu0.write 0x11000 1
    mprotect A 0x11000..0x13000 r
    gpu0.read 0x11000
    gpu0.write 0x11000 2
    gpu0.write 0x13000 3
    read A 0x11000
    unregister gpu0
    exit A
}
