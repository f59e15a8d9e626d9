# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, proc_madvise().
scenario "process_madvise PAGEOUT by another process"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "process_madvise PAGEOUT [0,8) by another process"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "exit"
    exit A
}
