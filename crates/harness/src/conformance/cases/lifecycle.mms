#: runs 20
#: without unmap

scenario "a device is registered, maps, accesses, unmaps and is removed, twice; nothing may fail"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    register gpu0
    gpu0.map 0x10000..0x14000
    gpu0.read 0x10000
    gpu0.map_write 0x14000..0x18000
    gpu0.write 0x14000 7
    read A 0x14000
    gpu0.unmap 0x10000..0x14000
    gpu0.unmap 0x14000..0x18000
    munmap A 0x17000..0x18000
    unregister gpu0
    register gpu0
    gpu0.map 0x10000..0x12000
    gpu0.read 0x11000
    unregister gpu0
    exit A
}
