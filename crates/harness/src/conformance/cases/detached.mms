#: errors ENODEV EFAULT
#: runs 20
#: without map map_write

scenario "a device that is not registered any more has no translation, and the process goes on"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    register gpu0
    gpu0.map_write 0x10000..0x14000
    unregister gpu0
    write A 0x10000 5
    munmap A 0x10000..0x12000
    gpu0.map 0x12000..0x13000
    exit A
}
