# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_dontneed().
scenario "madvise DONTNEED"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(0,8,DONTNEED)"
    madvise A 0x10000000000..0x10000008000 MADV_DONTNEED
    mark "madvise(0,8,DONTNEED) again, empty"
    madvise A 0x10000000000..0x10000008000 MADV_DONTNEED
    touch A 0x10000002000..0x10000004000
    mark "madvise(1,4,DONTNEED) partly populated"
    madvise A 0x10000001000..0x10000005000 MADV_DONTNEED
    mark "exit"
    exit A
}
