# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ksm_zero().
scenario "merging pages of zeros with the zero page"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
}
device rec : recorder(A)
task main {
    write A 0x10000000000 0
    write A 0x10000001000 0
    write A 0x10000002000 0
    write A 0x10000003000 0
    register rec
    madvise A 0x10000000000..0x10000004000 MADV_MERGEABLE
    mark "ksm run=1 use_zero_pages"
    ksm_scan zero
    mark "write 0"
    write A 0x10000000000 1
    mark "ksm run=2 (unmerge all)"
    ksm_unmerge
    mark "exit"
    exit A
}
