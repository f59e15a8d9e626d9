# Reclaim clears an entry and batches the flush. mprotect finds no entry, concludes that nothing can be cached, and
# returns. The thread goes on writing through what its CPU has.
#: kind wrong-order
#: year 2017
#: of mm/rmap
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since CPUs here keep no translations: the check is that nobody writes through an old translation when mprotect has returned

scenario "an entry gone and its flush still to come"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word pte 1  word tlb 1  word batched  word done }

task reclaim {
    with ptl { store batched 1  store pte 0 }
    with cpu { store tlb 0 }
}
task mprotect {
    with ptl {
        #+ load pending batched
        #+ if pending is 1 { with cpu { store tlb 0 } }
        load entry pte
        if entry is 1 { with cpu { store tlb 0 } }
    }
    store done 1
}

task user {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone done
            check gone is 0
        }
    }
}
