# Linux before eb66ae030829 (2018): mremap let the page-table locks go before it flushed. The page can be reclaimed at
# its new place and freed, while the translation of the old place is still there: a device behind an IOMMU, which hears
# of flushes only, uses it.
#: kind wrong-order
#: year 2018
#: of mm/mremap
#: detector stale-translation-oracle + schedule-exploration
#: only-buggy mm.moved

scenario "mremap flushes too late"

expect { STALE-HARM, COH } #-

quirks { flush-before-unlock-in-mremap } #-

machine { memory 16M  swap 16M }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }

device sva : iommu_sva(A, 0x10000..0x60000)

task dev { sva.read 0x10000  sync walked  sleep 10  sva.read 0x10000  sync used }
task move { sync go  mremap A 0x10000..0x14000 0x50000..0x54000 }
task mem { sleep 5  reclaim A 0x50000..0x51000 }

order {
    dev@user.walked < move@user.go
    dev@user.used < move@mm.moved
}

never { deadlock }
