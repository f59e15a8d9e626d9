# The device maps some pages, the process unmaps one of them and is reclaimed from, and the device goes on. Nothing is found.

scenario "toy: a munmap and reclaim beside device accesses"

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device toy0 : toy(A, 0x10000..0x50000)

task dev {
    toy0.map 0x10000..0x18000
    toy0.write 0x14000 7
    toy0.read 0x10000
}
task user {
    munmap A 0x12000..0x14000
    read A 0x14000
}
task mem { reclaim A 0x10000..0x20000 }
