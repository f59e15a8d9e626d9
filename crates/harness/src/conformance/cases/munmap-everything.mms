#: errors EFAULT
#: runs 20

scenario "a munmap of far more than is subscribed to"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x40000
}

device gpu0 : interval_mirror(A, 0x20000..0x30000)

task user {
    gpu0.map 0x20000..0x24000
    munmap A 0x10000..0x50000
    gpu0.read 0x20000
    gpu0.read 0x23000
    unregister gpu0
    exit A
}
