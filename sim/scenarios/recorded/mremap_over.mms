# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_over().
scenario "mremap over a mapping"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
    vma 0x10000040000..0x10000048000 rw anon
    touch 0x10000040000..0x10000048000
}
device rec : recorder(A)
task main {
    mark "mremap(0,4->4 FIXED 66) over existing [64,72)"
    mremap A 0x10000000000..0x10000004000 0x10000042000..0x10000046000
    mark "exit"
    exit A
}
