# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, move_pages_thp().
scenario "move_pages of a huge page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000200000
    register rec
    mark "move_pages THP -> node1"
    move_pages A 0x10000000000..0x10000001000 1
    mark "move_pages THP -> node0"
    move_pages A 0x10000000000..0x10000001000 0
    mark "exit"
    exit A
}
