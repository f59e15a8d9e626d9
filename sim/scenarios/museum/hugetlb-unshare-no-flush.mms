# Unmapping a range whose table is shared clears the pointer to it and drops a share; the flush came after the mapping's
# lock was let go. The other sharer is then the last one, and frees the table.
#: kind wrong-order
#: year 2021
#: of mm/hugetlb
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since CPUs here keep no translations: the check is that no CPU walks by a cached pointer to a table that was freed

scenario "a shared table freed before the flush"

expect { CHECK } #-

machine { seed 7 }

globals { rwsem i_mmap  spinlock cpu  word tlb 1  word shares 2  word freed }

task unmap_a {
    with write i_mmap {
        #+ with cpu { store tlb 0 }
        load left shares
        if left is 1 { store freed 1 } else { store shares 1 }
    }
    with cpu { store tlb 0 } #-
}
task unmap_b {
    with write i_mmap {
        load left shares
        if left is 1 { store freed 1 } else { store shares 1 }
    }
}
task cpu_of_a {
    with cpu {
        load cached tlb
        if cached is 1 {
            load gone freed
            check gone is 0
        }
    }
}
