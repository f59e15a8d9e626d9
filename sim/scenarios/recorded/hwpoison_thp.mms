# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hwpoison_thp().
scenario "memory failure in a huge page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "madvise(7,1,HWPOISON) inside a THP"
    memory_failure A 0x10000007000
    exit A
}
