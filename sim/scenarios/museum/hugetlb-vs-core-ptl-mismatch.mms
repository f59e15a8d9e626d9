# One entry, two locks: a look-up takes the lock of the table, and who changes the entry takes that of the address
# space. Both believe to be alone.
#: kind other
#: year 2024
#: of mm/hugetlb + gup
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words: the reference is taken to a page that was freed, which the check says

scenario "one entry under two locks"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock split_ptl  spinlock page_table_lock  word entry 1  word freed }

task gup {
    with split_ptl { #-
    #+ with page_table_lock {
        load page entry
        if page is 0 { return }
        load gone freed
        check gone is 0
    }
}
task unmap {
    with page_table_lock {
        store entry 0
        store freed 1
    }
}
