# A driver that keeps its translation when one page is cleared, as copy on write does. The process has a frame of its own from
# then on, and the device goes on reading the old one: the use is STALE, and what it reads is not what was written.
# `--set gpu0.mutant=none` makes it silent.

scenario "a mirror that keeps the old frame after copy on write"

expect { STALE, COH }

machine { memory 16M  swap 4M  seed 1 }

mm A { vma 0x10000..0x50000 rw anon }

device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant "keep-old-frame-after-cow" }

task user {
    read A 0x10000
    gpu0.map 0x10000..0x11000
    write A 0x10000 7
    gpu0.read 0x10000
}

never { unordered, deadlock }
