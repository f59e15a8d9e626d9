# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, msync_clean().
scenario "writeback of a shared file"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/ms" shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "msync(0,8,SYNC) dirty"
    msync A 0x10000000000..0x10000008000
    mark "write 1,2 again"
    touch A 0x10000001000..0x10000003000
    mark "fsync"
    fsync "/ext2/ms"
    mark "write 5"
    write A 0x10000005000
    mark "sync()"
    writeback "/ext2/ms"
    mark "msync clean"
    msync A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
