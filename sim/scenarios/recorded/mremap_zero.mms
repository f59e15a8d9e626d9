# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_zero().
scenario "mremap of old size 0"
mm A {
    vma 0x10000000000..0x10000004000 rw anon shared
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mremap(0,0->4 FIXED 64) old_size 0, shared"
    mremap A 0x10000000000 0x10000040000..0x10000044000
    mark "exit"
    exit A
}
