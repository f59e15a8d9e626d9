# An IOMMU that walks a process's table walks the kernel's half of it too, and remembers upper levels. The kernel freed
# a page of its tables and told only its CPUs.
#: kind missing-invalidate
#: year 2025
#: of IOMMU SVA
#: detector stale-translation-oracle + schedule-exploration
#: runs 200
#: because a model in words, since there are no page tables of the kernel here: the check is that no walker has a pointer to a table that was freed

scenario "a page table of the kernel freed under an IOMMU"

expect { CHECK } #-

machine { seed 7 }

globals { mutex iommu  word tlb 1  word freed }

task vfree {
    #+ with iommu { store tlb 0 }
    store freed 1
}
task walker {
    with iommu {
        load cached tlb
        if cached is 1 {
            load gone freed
            check gone is 0
        }
    }
}
