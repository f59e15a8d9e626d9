# A driver that publishes what it looked up without asking read_retry. No invalidation is anywhere near, and it is found all
# the same: the rule is about the protocol, not about luck. `--set gpu0.mutant=none` makes it silent.

scenario "a mirror that does not ask read_retry"

expect { SEQ }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant "skip-retry" }

task dev { gpu0.map 0x10000..0x11000 }

never { stale, deadlock }
