#: errors EFAULT
#: runs 20

scenario "a munmap of the first, of the last and of a single page of what is mapped"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x14000
    munmap A 0x10000..0x11000
    gpu0.read 0x10000
    munmap A 0x13000..0x14000
    gpu0.read 0x13000
    munmap A 0x12000..0x13000
    gpu0.read 0x12000
    gpu0.read 0x11000
    unregister gpu0
    exit A
}
