# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_shared_file().
scenario "mprotect of a shared file"
mm A {
    vma 0x10000000000..0x10000004000 rw file "/ext2/mp" shared
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mprotect(0,4,R) shared ext2"
    mprotect A 0x10000000000..0x10000004000 r
    mark "mprotect(0,4,RW)"
    mprotect A 0x10000000000..0x10000004000 rw
    mark "exit"
    exit A
}
