# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_free_pageout().
scenario "MADV_FREE, MADV_PAGEOUT and MADV_COLD of huge pages"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,512,FREE) THP"
    madvise A 0x10000000000..0x10000200000 MADV_FREE
    mark "madvise(512,512,PAGEOUT) THP"
    madvise A 0x10000200000..0x10000400000 MADV_PAGEOUT
    mark "madvise(0,512,COLD)"
    madvise A 0x10000000000..0x10000200000 MADV_COLD
    mark "exit"
    exit A
}
