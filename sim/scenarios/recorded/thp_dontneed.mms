# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_dontneed().
scenario "MADV_DONTNEED of a huge page and of a part of one"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,512,DONTNEED) whole THP"
    madvise A 0x10000000000..0x10000200000 MADV_DONTNEED
    mark "madvise(600,4,DONTNEED) part of THP"
    madvise A 0x10000258000..0x1000025c000 MADV_DONTNEED
    mark "exit"
    exit A
}
