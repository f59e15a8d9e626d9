# Linux before 5f75cfbd6bb0 (2024): one entry of hugetlb memory, two locks. A look-up takes one, who changes the entry takes the
# other, and both believe to be alone: a page is pinned that has been freed.
#: kind other
#: year 2024
#: of mm/hugetlb + gup
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000
#: strategy pct
#: only-buggy mm.window

scenario "one entry under two locks"

expect { STALE-HARM } #-

quirks { one-lock-for-hugetlb } #-

machine { cpus 2  memory 64M  seed 7 }

mm A { vma 0x200000..0x400000 rw hugetlb  touch 0x200000..0x400000 }

device nic : hfi1_cache(A, 0x200000..0x400000)

task send { nic.send 0x200000..0x201000 }
task discard { madvise A 0x200000..0x400000 MADV_DONTNEED }

never { deadlock }
