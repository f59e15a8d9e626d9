# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_move().
scenario "mremap to other places, with another size"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mremap(0,4->4 FIXED 64)"
    mremap A 0x10000000000..0x10000004000 0x10000040000..0x10000044000
    mark "mremap(64,4->8 FIXED 128) move+grow"
    mremap A 0x10000040000..0x10000044000 0x10000080000..0x10000088000
    mark "mremap(128,8->3 FIXED 192) move+shrink"
    mremap A 0x10000080000..0x10000088000 0x100000c0000..0x100000c3000
    mark "exit"
    exit A
}
