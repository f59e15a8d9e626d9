# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_move_unpop().
scenario "mremap of untouched pages"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
}
device rec : recorder(A)
task main {
    mark "mremap(0,8->8 FIXED 64) untouched"
    mremap A 0x10000000000..0x10000008000 0x10000040000..0x10000048000
    mark "exit"
    exit A
}
