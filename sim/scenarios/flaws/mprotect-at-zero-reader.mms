# The same flaw seen from an interval subscriber at address 0: it waits for the end before it looks a page up, for ever.
# See docs/flaws/mprotect-at-zero.md.

scenario "a protection change at address 0, and a reader that never returns"

expect { ORD-PAIR, PROG-DEADLOCK }

mm A { vma 0x0..0x4000 rw anon  touch 0x0..0x4000 }

device mirror : interval_mirror(A, 0x0..0x4000)

task user { mprotect A 0x0..0x2000 r  mirror.map 0x0..0x1000 }
