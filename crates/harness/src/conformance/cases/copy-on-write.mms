#: errors EFAULT
#: runs 20

scenario "the process writes to a page that the device reads, and the page moves to another frame"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    read A 0x30000
    gpu0.map 0x30000..0x31000
    gpu0.read 0x30000
    write A 0x30000 6
    gpu0.read 0x30000
    gpu0.map_write 0x30000..0x31000
    gpu0.write 0x30000 8
    read A 0x30000
    unregister gpu0
    exit A
}
