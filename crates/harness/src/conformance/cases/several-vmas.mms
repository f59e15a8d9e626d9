#: errors EFAULT EPERM
#: runs 20

scenario "one mapping of the device spans four mappings of the process, and a munmap spans two of them"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x14000 rw anon
    vma 0x14000..0x18000 r anon
    vma 0x18000..0x1c000 rw file "data"
    vma 0x1c000..0x20000 rw file "log" shared
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x20000)

task user {
    gpu0.map 0x10000..0x20000
    gpu0.read 0x10000
    gpu0.read 0x14000
    gpu0.read 0x18000
    gpu0.read 0x1c000
    munmap A 0x12000..0x1a000
    gpu0.read 0x11000
    gpu0.read 0x13000
    gpu0.read 0x15000
    gpu0.read 0x19000
    gpu0.read 0x1a000
    unregister gpu0
    exit A
}
