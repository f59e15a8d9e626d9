# Clearing the soft-dirty state write-protects all entries and flushes once, at the end. A fault that finds an entry
# read-only meanwhile takes the page for unwritten and copies it.
#: kind wrong-order
#: year 2021
#: of fs/proc
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since CPUs here keep no translations: the check is that nothing is written to the page after it was copied

scenario "a write protected page that is still written to"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word writable 1  word tlb 1  word pending  word copied }

task clear_refs {
    #+ store pending 1
    with ptl { store writable 0 }
    with cpu { store tlb 0 }
}
task fault {
    with ptl {
        load entry writable
        if entry is 1 { with cpu { store tlb 0 } }
        #+ load others pending
        #+ if others is 1 { with cpu { store tlb 0 } }
        store writable 0
    }
    store copied 1
}

task user {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone copied
            check gone is 0
        }
    }
}
