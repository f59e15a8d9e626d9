# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, drop_caches().
scenario "dropping caches announces nothing"
mm A {
    vma 0x10000000000..0x10000008000 r file "/ext2/dc" shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "drop_caches=3"
    mark "exit"
    exit A
}
