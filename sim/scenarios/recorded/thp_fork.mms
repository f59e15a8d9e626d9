# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_fork().
scenario "copy on write of a huge page after fork"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "fork with THP, child alive"
    fork A B
    mark "parent write 5 (COW of THP)"
    write A 0x10000005000
    mark "parent write 6"
    write A 0x10000006000
    mark "exit"
    exit A
}
