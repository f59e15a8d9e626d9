# A walker without locks is in a shared table, with interrupts off. Its last sharer gives the table away, to be another
# process's.
#: kind lifetime-uaf
#: year 2025
#: of mm/hugetlb
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words: the check is that the table is still that of the process whose walker is in it; the lock is the interrupt that all walkers must take

scenario "a table given away under a walker without locks"

expect { CHECK } #-

machine { seed 7 }

globals { mutex irqs_off  word pud 1  word reused }

task gup {
    with irqs_off {
        load table pud
        if table is 0 { return }
        load owner reused
        check owner is 0
    }
}
task unshare {
    store pud 0
    #+ with irqs_off { }
    store reused 1
}
