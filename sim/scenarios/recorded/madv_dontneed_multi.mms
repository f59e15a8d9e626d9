# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_dontneed_multi().
scenario "madvise DONTNEED over mappings and a hole"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    vma 0x10000004000..0x10000008000 r anon
    vma 0x1000000c000..0x10000010000 rw anon
    touch 0x10000000000..0x10000008000
    touch 0x1000000c000..0x10000010000
}
device rec : recorder(A)
task main {
    mark "madvise(0,16,DONTNEED) vmas [0,4)[4,8) hole [12,16)"
    madvise A 0x10000000000..0x10000010000 MADV_DONTNEED
    mark "exit"
    exit A
}
