# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, collapse_shmem_two().
scenario "MADV_COLLAPSE of memory that two processes share"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000200000 rw anon shared
}
device rec : recorder(A)
device child : recorder(B)
task main {
    touch A 0x10000000000..0x10000200000
    register rec
    fork A B
    register child
    touch B 0x10000000000..0x10000200000
    mark "madvise(0,512,COLLAPSE) shmem mapped in parent (reg1) and child (reg2)"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "child write 0"
    write B 0x10000000000
    exit B
    mark "exit"
    exit A
}
