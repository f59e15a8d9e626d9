# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, khugepaged_anon().
scenario "khugepaged and anonymous memory"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,1024,HUGEPAGE), khugepaged active"
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    mark "wait"
    khugepaged A 0x10000000000..0x10000400000
    mark "exit"
    exit A
}
