# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_shared_file().
scenario "mremap of a shared file"
mm A {
    vma 0x10000000000..0x10000004000 rw file "/ext2/mr" shared
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mremap(0,4->4 FIXED 64) shared ext2 file"
    mremap A 0x10000000000..0x10000004000 0x10000040000..0x10000044000
    mark "exit"
    exit A
}
