# A driver that forgets to remove its subscription when its device goes. The process exits, and its mm is kept for ever by a
# subscriber that may be unloaded by then. `--set gpu0.mutant=none` makes it silent.

scenario "a mirror that stays subscribed"

expect { LIFE }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant "keep-subscription" }

task user {
    gpu0.map 0x10000..0x12000
    unregister gpu0
    munmap A 0x10000..0x11000
    exit A
}

never { stale, deadlock }
