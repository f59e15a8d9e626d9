# A bug of the memory manager, on purpose: munmap never closes its bracket. A reader that came later would wait for it for
# ever; here none does, and the missing end is found all the same. `--set quirks=none` makes it silent.

scenario "munmap leaks its bracket"

expect { ORD-PAIR }

machine { memory 16M  swap 4M  seed 1 }

quirks { munmap-unpaired-end }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x12000
    munmap A 0x10000..0x11000
}

never { unordered, deadlock }
