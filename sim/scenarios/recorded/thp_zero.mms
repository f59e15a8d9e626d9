# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, thp_zero().
scenario "a write to the huge zero page"
mm A {
    vma 0x10000000000..0x10000200000 rw anon
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000200000 MADV_HUGEPAGE
    register rec
    mark "read 0 (huge zero page)"
    read A 0x10000000000
    mark "write 3"
    write A 0x10000003000
    mark "munmap(0,512)"
    munmap A 0x10000000000..0x10000200000
    mark "exit"
    exit A
}
