# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_soft_dirty().
scenario "clear_refs 4 with a huge page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "clear_refs=4 with THP"
    clear_refs A 4
    mark "write 0"
    write A 0x10000000000
    mark "exit"
    exit A
}
