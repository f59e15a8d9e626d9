# Reclaim calls the callback, and the callback may reclaim.

scenario "a callback that allocates"

expect { LD-CIRCULAR, LD-RECURSIVE }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : interval(A, 0x10000..0x20000) {
    on invalidate(range) { if blockable { alloc 1 GFP_KERNEL  set_seq  zap range } else { refuse } }
}

task unmap { munmap A 0x10000..0x12000 }
