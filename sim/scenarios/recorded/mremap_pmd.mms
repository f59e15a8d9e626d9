# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mremap_pmd().
scenario "mremap of whole page tables"
mm A {
    vma 0x10000000000..0x10000600000 rw anon
    touch 0x10000000000..0x10000600000
}
device rec : recorder(A)
task main {
    mark "mremap(0,1536->1536 FIXED 4096) pmd aligned"
    mremap A 0x10000000000..0x10000600000 0x10001000000..0x10001600000
    mark "exit"
    exit A
}
