# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_split_debugfs().
scenario "split_huge_pages of debugfs"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "debugfs split_huge_pages pid,range"
    split_huge_pages A 0x10000000000..0x10000200000
    mark "exit"
    exit A
}
