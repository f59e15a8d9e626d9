# Reclaim clears entries and leaves the flush of the CPUs' translations to later, for many pages at once. A large folio
# went back by another way, which did not wait for it.
#: kind wrong-order
#: year 2026
#: of mm/vmscan
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words, since CPUs here keep no translations: the check is that no CPU has a translation of a page that was freed

scenario "a large folio freed before its flush"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word pte 1  word tlb 1  word freed }

task reclaim {
    with ptl { store pte 0 }
    store freed 1 #-
    with cpu { store tlb 0 }
    #+ store freed 1
}

task user {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone freed
            check gone is 0
        }
    }
}
