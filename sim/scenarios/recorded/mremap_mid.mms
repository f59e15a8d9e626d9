# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_mid().
scenario "mremap of the middle of a mapping"
mm A {
    vma 0x10000000000..0x1000000c000 rw anon
    touch 0x10000000000..0x1000000c000
}
device rec : recorder(A)
task main {
    mark "mremap(4,4->4 FIXED 64) middle of a vma"
    mremap A 0x10000004000..0x10000008000 0x10000040000..0x10000044000
    mark "exit"
    exit A
}
