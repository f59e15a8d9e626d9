# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_free().
scenario "madvise FREE, then reclaim"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(2,4,FREE)"
    madvise A 0x10000002000..0x10000006000 MADV_FREE
    mark "madvise(2,4,FREE) again"
    madvise A 0x10000002000..0x10000006000 MADV_FREE
    mark "write 2 after FREE"
    write A 0x10000002000
    mark "madvise(0,8,PAGEOUT) with lazyfree pages"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "exit"
    exit A
}
