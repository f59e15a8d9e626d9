# Reclaim clears entries and leaves the flush of the CPUs' translations to later, for many pages at once. A large folio
# went back by another way, which did not wait for it. Here it is a huge page that is mapped by single entries and was freed
# lazily, and a driver is slow to let go of a page that comes after it.
#: kind wrong-order
#: year 2026
#: of mm/vmscan
#: detector stale-translation-oracle + schedule-exploration

scenario "a large folio freed before its flush"

expect { STALE-HARM } #-

quirks { flush-before-freeing-large-folios } #-

machine { cpus 4  memory 32M  seed 7 }

mm A { vma 0x200000..0x400000 rw anon  vma 0x400000..0x408000 r file "f" }

device slow : interval(A, 0x404000..0x405000) {
    on invalidate(range) { sync here }
}

task before {
    madvise A 0x200000..0x400000 MADV_HUGEPAGE
    write A 0x200000
    mprotect A 0x200000..0x201000 r
    mprotect A 0x200000..0x201000 rw
    madvise A 0x200000..0x400000 MADV_FREE
    touch A 0x400000..0x408000
    sync lazy
}
task reclaim {
    sync again
    reclaim A 0x200000..0x408000
}
task user {
    sync go
    read A 0x210000
    sync cached
    sleep 10
    read A 0x210000
    sync looked
}

order {
    before@user.lazy < user@user.go
    user@user.cached < reclaim@user.again
    user@user.looked < reclaim@user.here
}
