#: errors EFAULT ENODEV
#: failures every
#: runs 60
#: without unmap

scenario "each allocation fails once, and all from each on; the driver keeps nothing, and works when there is memory again"

machine { memory 16M  swap 4M  seed 1  max_steps 100000  failures on }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    register gpu0
    gpu0.map 0x10000..0x14000
    gpu0.read 0x10000
    gpu0.map_write 0x14000..0x16000
    gpu0.write 0x14000 7
    munmap A 0x12000..0x13000
    gpu0.unmap 0x10000..0x14000
    gpu0.unmap 0x14000..0x16000
    unregister gpu0
    sync memory
    register gpu0
    gpu0.map 0x10000..0x12000
    gpu0.read 0x11000
    gpu0.unmap 0x10000..0x12000
    unregister gpu0
    exit A
}
