#: errors EFAULT
#: runs 20

scenario "the process forks, and parent and child write to what the device has"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}
mm B { forked }

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map_write 0x10000..0x12000
    gpu0.write 0x10000 5
    fork A B
    read B 0x10000
    write A 0x10000 6
    gpu0.map_write 0x10000..0x12000
    gpu0.read 0x10000
    write B 0x11000 7
    gpu0.read 0x11000
    gpu0.write 0x11000 8
    read A 0x11000
    read B 0x11000
    exit B
    gpu0.map_write 0x10000..0x12000
    gpu0.read 0x10000
    unregister gpu0
    exit A
}
