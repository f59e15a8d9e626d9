# An allocation that may sleep, under a spinlock. It does not sleep in this run, for memory is plenty. With GFP_ATOMIC it is
# silent.

scenario "an allocation under a spinlock"

expect { CTX }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device toy : interval(A, 0x10000..0x50000) {
    spinlock s
}

task user { with toy.s { alloc 1 GFP_KERNEL } }

never { deadlock }
