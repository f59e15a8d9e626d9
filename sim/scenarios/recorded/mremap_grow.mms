# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_grow().
scenario "mremap in place"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "mremap(0,4->8) in place"
    mremap A 0x10000000000..0x10000004000 0x8000
    mark "exit"
    exit A
}
