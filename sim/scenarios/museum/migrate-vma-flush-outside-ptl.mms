# Collecting for migration clears entries under the page-table lock and flushes after it. MADV_DONTNEED in between finds
# nothing, flushes nothing and returns.
#: kind wrong-order
#: year 2022
#: of mm/migrate_device
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since CPUs here keep no translations: the check is that nobody writes through an old translation when madvise has returned

scenario "entries collected and flushed outside of the lock"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word pte 1  word tlb 1  word done }

task migrate {
    with ptl {
        store pte 0
        #+ with cpu { store tlb 0 }
    }
    with cpu { store tlb 0 } #-
}
task dontneed {
    with ptl {
        load entry pte
        if entry is 1 { store pte 0  with cpu { store tlb 0 } }
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
