# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_pageout_shmem().
scenario "madvise PAGEOUT of shared anonymous memory"
mm A {
    vma 0x10000000000..0x10000008000 rw anon shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(0,8,PAGEOUT) shared anon"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "write again"
    touch A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
