# The driver compares an invalidation with the bounds of the VMA it was given. Part of it was unmapped before, and the
# rest of the grant lies outside of what is left: its page goes and the grant stays.
#: kind range-math
#: year 2022
#: of xen/gntdev
#: detector stale-translation-oracle + schedule-exploration

scenario "a grant whose VMA was split"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : gntdev(A, 0x10000..0x20000) { mutant "compares-vma-bounds" } #-
#+ device gpu0 : gntdev(A, 0x10000..0x20000)

task domain {
    gpu0.map 0x12000..0x14000
    munmap A 0x13000..0x14000
    gpu0.read 0x13000
}
