# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_munmap().
scenario "munmap of a huge page and of a part of one"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    register rec
    mark "write 0..1023 (two THP faults)"
    touch A 0x10000000000..0x10000400000
    mark "munmap(512,512) whole THP"
    munmap A 0x10000200000..0x10000400000
    mark "munmap(100,10) part of a THP"
    munmap A 0x10000064000..0x1000006e000
    mark "exit"
    exit A
}
