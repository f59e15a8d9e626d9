#: errors EFAULT ENODEV
#: runs 20
#: without map_write read

scenario "the process exits while the device has translations, and the device is removed afterwards"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map_write 0x10000..0x14000
    exit A
    gpu0.read 0x10000
    unregister gpu0
}
