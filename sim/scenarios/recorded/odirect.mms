# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, odirect().
scenario "O_DIRECT write over mapped pages"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/od" shared
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "O_DIRECT write over mapped pages 1..2"
    direct_write "/ext2/od" 0x1000 0x2000
    mark "exit"
    exit A
}
