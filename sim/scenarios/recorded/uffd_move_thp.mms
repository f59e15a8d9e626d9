# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, uffd_move_thp().
scenario "UFFDIO_MOVE of a huge page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
    vma 0x10000400000..0x10000600000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    madvise A 0x10000400000..0x10000600000 MADV_HUGEPAGE
    touch A 0x10000400000..0x10000600000
    register rec
    mark "uffd register MISSING [0,512)"
    uffd_register A 0x10000000000..0x10000200000 missing
    mark "UFFDIO_MOVE [1024,1536) THP -> 0"
    uffd_move A 0x10000000000..0x10000200000 0x10000400000
    mark "write 1024 (source after move)"
    write A 0x10000400000
    mark "exit"
    exit A
}
