# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, page_idle_thp().
scenario "the page-idle map and a huge page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "page_idle write head bit of a THP"
    page_idle A 0x10000000000
    mark "exit"
    exit A
}
