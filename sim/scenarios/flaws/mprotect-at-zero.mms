# A flaw of Linux 6.12, recorded on a running one: the walker of a protection change takes a start address of 0 for "no bracket
# is open". A mapping at address 0 gets a start that never has its end. ORD-PAIR; silent with
# `behaviours { close-bracket-at-zero }`. See docs/flaws/mprotect-at-zero.md.

scenario "a protection change at address 0 leaves its bracket open"

expect { ORD-PAIR }

mm A { vma 0x0..0x4000 rw anon  touch 0x0..0x4000 }

device counts : list(A) { on start(range) { }  on end(range) { } }

task user { mprotect A 0x0..0x2000 r }
