# Linux before 017b1660df89 (2018): two processes share the PMD table of a GiB of hugetlb. Discarding one huge page
# takes all of the table away from this process, and only the 2 MiB were announced.
#: kind missing-invalidate
#: year 2018
#: of mm/hugetlb
#: detector stale-translation-oracle + schedule-exploration
#: because what goes was not announced in its whole: the rule of brackets says so in one run

scenario "more goes than was announced"

expect { ORD-CLEAR } #-

quirks { widen-for-shared-pmds } #-

machine { memory 64M }

mm B { forked }
mm A { vma 0x40000000..0x80000000 rw hugetlb "/huge/s" shared }

device gpu0 : interval_mirror(A, 0x40000000..0x80000000)

task user {
    truncate "/huge/s" 0x40000000
    write A 0x40000000 1
    write A 0x40200000 2
    fork A B
    write B 0x40000000 3
    gpu0.map 0x40200000..0x40201000
    madvise A 0x40000000..0x40200000 MADV_DONTNEED
}

never { deadlock }
