# A bug of the notifier framework, on purpose: a subscriber that was removed stays where brackets find it. By then its driver
# may be unloaded. `--set quirks=none` makes it silent.

scenario "a callback after the removal returned"

expect { ORD-CALLBACK }

machine { memory 16M  swap 4M  seed 1 }

quirks { callback-after-unregister }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x12000
    unregister gpu0
    munmap A 0x10000..0x11000
}

never { deadlock, stale }
