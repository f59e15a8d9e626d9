# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_mremap().
scenario "mremap of a huge page, of a part of one, and out of step"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000400000
    register rec
    mark "mremap(0,512 FIXED 4096) THP aligned move"
    mremap A 0x10000000000..0x10000200000 0x10001000000..0x10001200000
    mark "mremap(600,8 FIXED 8192) part of THP"
    mremap A 0x10000258000..0x10000260000 0x10002000000..0x10002008000
    mark "mremap(4096,512 FIXED 8192+512+1) misaligned"
    mremap A 0x10001000000..0x10001200000 0x10002201000..0x10002401000
    mark "exit"
    exit A
}
