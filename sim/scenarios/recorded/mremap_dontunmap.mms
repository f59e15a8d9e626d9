# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_dontunmap().
scenario "mremap that leaves the old mapping"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mremap(0,4->4 MAYMOVE+DONTUNMAP+FIXED 64)"
    mremap A 0x10000000000..0x10000004000 0x10000040000..0x10000044000 dontunmap
    mark "exit"
    exit A
}
