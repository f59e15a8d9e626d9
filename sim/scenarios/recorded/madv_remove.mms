# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_remove().
scenario "madvise REMOVE of tmpfs"
mm A {
    vma 0x10000000000..0x10000008000 rw shmem "/tmp/rm" shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(2,4,REMOVE) tmpfs shared"
    madvise A 0x10000002000..0x10000006000 MADV_REMOVE
    mark "exit"
    exit A
}
