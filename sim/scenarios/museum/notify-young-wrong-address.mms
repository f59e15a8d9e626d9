# khugepaged looks at 512 entries, and asked subscribers about the address of the table each time: the accesses of a
# device to one page were taken for such to another.
#: kind range-math
#: year 2025
#: of mm/khugepaged
#: detector ordering-oracle-single-run

scenario "asked about another page"

expect { ORD-CALLBACK } #-

quirks { ask-about-page-in-hand } #-

machine { memory 64M  seed 7 }

mm A { vma 0x200000..0x800000 rw anon  touch 0x200000..0x400000 }

device dev : recorder(A)

task user {
    madvise A 0x200000..0x800000 MADV_HUGEPAGE
    age A 0x200000..0x400000
    khugepaged A 0x200000..0x400000
}

never { deadlock }
