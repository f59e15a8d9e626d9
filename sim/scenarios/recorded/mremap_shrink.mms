# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_shrink().
scenario "mremap to a smaller size"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "mremap(0,8->5)"
    mremap A 0x10000000000..0x10000008000 0x5000
    mark "exit"
    exit A
}
