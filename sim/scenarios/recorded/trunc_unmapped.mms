# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, trunc_unmapped().
scenario "ftruncate of a mapping that was never touched"
mm A {
    vma 0x10000000000..0x10000010000 rw shmem "/tmp/tu" shared
}
device rec : recorder(A)
task main {
    mark "ftruncate 4, mapping never touched"
    truncate "/tmp/tu" 0x4000
    mark "exit"
    exit A
}
