# A bug of the memory manager, on purpose: munmap clears the page-table entries and announces the range afterwards. The
# driver is correct, and cannot help it: between the two the device may still use what the CPU no longer has.
# `--set quirks=none` makes it silent.

scenario "munmap clears before it announces"

expect { ORD-CLEAR }

machine { memory 16M  swap 4M  seed 1 }

quirks { munmap-clears-before-start }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x12000
    munmap A 0x10000..0x11000
}

never { stale, deadlock }

assert { callbacks gpu0.invalidate == 1 }
