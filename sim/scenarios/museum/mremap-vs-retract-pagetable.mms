# mremap reads the pointer to a table, decides to move the whole of it, and then takes the locks of the reverse map.
# khugepaged takes the table away in between, with the mapping's lock alone.
#: kind lifetime-uaf
#: year 2024
#: of mm/mremap
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words, since tables have no frames here, and one that was taken away is empty for whoever comes late: the check is that the table which is moved was not freed

scenario "a table moved that was freed"

expect { CHECK } #-

machine { seed 7 }

globals { rwsem i_mmap  word pmd 1  word freed }

task mremap {
    load table pmd
    if table is 0 { return }
    with write i_mmap {
        #+ load table pmd
        #+ if table is 0 { return }
        store pmd 0
        load gone freed
        check gone is 0
    }
}
task khugepaged {
    with write i_mmap {
        load table pmd
        if table is 1 { store pmd 0  store freed 1 }
    }
}
