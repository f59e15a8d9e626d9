# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_mprotect().
scenario "mprotect of huge pages and of a part of one"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    touch A 0x10000000000..0x10000400000
    register rec
    mark "mprotect(0,1024,R) two THPs"
    mprotect A 0x10000000000..0x10000400000 r
    mark "mprotect(0,1024,RW)"
    mprotect A 0x10000000000..0x10000400000 rw
    mark "mprotect(100,8,R) part"
    mprotect A 0x10000064000..0x1000006c000 r
    mark "exit"
    exit A
}
