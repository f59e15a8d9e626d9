# A driver that misses one invalidation, this time of a write-protection. Nothing is freed: the device writes to a page that
# it may read only, which is STALE and no STALE-HARM. A read would be legal. `--set gpu0.mutant=none` makes it silent.

scenario "a mirror that ignores one invalidation, and an mprotect"

expect { STALE }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant "ignore-one-invalidation" }

task dev {
    gpu0.map_write 0x10000..0x12000
    mprotect A 0x10000..0x11000 r
    gpu0.read 0x10000
    gpu0.write 0x10000
}

never { unordered, deadlock }
