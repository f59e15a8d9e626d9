# The table goes back as soon as the pointer to it is cleared; what walkers remember of upper levels is invalidated with
# the batch.
#: kind wrong-order
#: year 2015
#: of arm64 TLB
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words, since CPUs here keep translations and no pointers to tables, and tables have no frames that could be another's: the check is that no walker uses a table that was freed

scenario "a table freed before its pointer is forgotten"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock cpu  word pointer 1  word tlb 1  word freed }

task unmap {
    store pointer 0
    store freed 1 #-
    with cpu { store tlb 0 }
    #+ store freed 1
}

task walker {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone freed
            check gone is 0
        }
    }
}
