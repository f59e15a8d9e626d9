# Linux before f268f6cf875f (2022): collapsing memory that maps a huge page of a file by single entries took these away
# without a bracket. A correct driver keeps its translations.
#: kind missing-invalidate
#: year 2022
#: of mm/khugepaged
#: detector ordering-oracle-single-run

scenario "a collapse that nobody hears of"

expect { ORD-CLEAR } #-

quirks { notify-file-collapse } #-

machine { memory 64M }

mm A { vma 0x200000..0x400000 rw anon shared }

device gpu0 : interval_mirror(A, 0x200000..0x400000)

task user {
    touch A 0x200000..0x400000
    # One entry maps it; then it is mapped by 512 again, as a process that does not want huge pages has it.
    madvise A 0x200000..0x400000 MADV_COLLAPSE
    madvise A 0x200000..0x400000 MADV_NOHUGEPAGE
    madvise A 0x200000..0x400000 MADV_DONTNEED
    touch A 0x200000..0x400000
    madvise A 0x200000..0x400000 MADV_HUGEPAGE
    gpu0.map 0x200000..0x202000
    madvise A 0x200000..0x400000 MADV_COLLAPSE
}

never { deadlock }
