# A driver with a shrinker: reclaim asks it for its pages, in the stack of whoever allocates. The driver allocates under its
# lock, and its shrinker takes the lock. One run in which nobody waits for anybody reports it, for no task here does both at
# once. `on shrink` with `if blockable` is no way out: the allocation is one that may block.

scenario "a shrinker takes a lock that is held over allocations"

expect { LD-CIRCULAR }
machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device cache : interval(A, 0x10000..0x20000) {
    mutex lru
    on invalidate(range) { set_seq  zap range }
    on shrink(range) { with lru { zap range } }
    op fill(range) { with lru { alloc 1 GFP_KERNEL }  retry { read_begin  fault range  check_retry  map range } }
}

task user { cache.fill 0x10000..0x12000 }
task kswapd { reclaim 1 pages }

order { user@cache.fill < kswapd@mm.reclaim }

assert {
    edge "cache.lru" -> "fs_reclaim"
    edge "fs_reclaim" -> "cache.lru"
    callbacks cache.shrink >= 1
    blocked_tasks == 0
}
