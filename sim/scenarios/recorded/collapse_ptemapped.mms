# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, collapse_ptemapped().
scenario "MADV_COLLAPSE of a huge page that a table of single pages maps"
mm A {
    vma 0x10000000000..0x10000200000 rw anon shared
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000200000
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    madvise A 0x10000000000..0x10000200000 MADV_NOHUGEPAGE
    madvise A 0x10000000000..0x10000200000 MADV_DONTNEED
    touch A 0x10000000000..0x10000200000
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    register rec
    mark "madvise(0,512,COLLAPSE) shmem THP mapped by ptes"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "write 0"
    write A 0x10000000000
    mark "exit"
    exit A
}
