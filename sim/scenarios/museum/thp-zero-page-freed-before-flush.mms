# The zapped huge entry drops its reference to the page of zeros at once, and the flush comes later. The shrinker finds
# no reference and frees the page.
#: kind lifetime-uaf
#: year 2016
#: of mm/thp
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: because a model in words, since the huge zero page has no frames here and is there for good: the check is that no CPU has a translation of the page that the shrinker freed

scenario "the huge zero page freed while it is translated"

expect { CHECK } #-

machine { seed 7 }

globals { spinlock ptl  spinlock cpu  word pmd 1  word tlb 1  word refs 1  word freed }

task zap {
    with ptl { store pmd 0 }
    store refs 0 #-
    with cpu { store tlb 0 }
    #+ store refs 0
}
task shrinker {
    load left refs
    if left is 0 { store freed 1 }
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
