# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, collapse_shmem().
scenario "MADV_COLLAPSE of shared memory"
mm A {
    vma 0x10000000000..0x10000400000 rw anon shared
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,512,COLLAPSE) shared anon"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "write 0..3 (refault as huge or pte)"
    touch A 0x10000000000..0x10000004000
    mark "madvise(0,512,COLLAPSE) pte-mapped THP"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "munmap(100,4)"
    munmap A 0x10000064000..0x10000068000
    mark "exit"
    exit A
}
