# Zapping moves the dirty bit to the page and gathers the flush for later. Writeback finds no entry, takes the page for
# stable, and writes it out.
#: kind wrong-order
#: year 2014
#: of mm/memory
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since CPUs here keep no translations: the check is that no write comes after the page was written out as clean

scenario "a page clean and still written to"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word pte 1  word tlb 1  word dirty  word written }

task zap {
    with ptl {
        store dirty 1
        store pte 0
        #+ with cpu { store tlb 0 }
    }
    with cpu { store tlb 0 } #-
}
task writeback {
    with ptl {
        load entry pte
        if entry is 1 { with cpu { store tlb 0 } }
    }
    store written 1
}

task user {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone written
            check gone is 0
        }
    }
}
