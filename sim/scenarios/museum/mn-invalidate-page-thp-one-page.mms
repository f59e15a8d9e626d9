# Linux before 369ea8242c0f (2017): the callback of a page that was unmapped or moved carried one address. Of a huge
# page 511 translations stayed.
#: kind range-math
#: year 2017
#: of mm/rmap
#: detector ordering-oracle-single-run

scenario "one page of 512 is announced"

expect { ORD-CLEAR } #-

quirks { announce-whole-folio } #-

machine { memory 64M }

mm A { vma 0x200000..0x400000 rw anon }

device gpu0 : interval_mirror(A, 0x200000..0x400000)

task user {
    madvise A 0x200000..0x400000 MADV_HUGEPAGE
    touch A 0x200000..0x400000
    gpu0.map 0x210000..0x212000
    compact A 0x200000..0x201000
}

never { deadlock }
