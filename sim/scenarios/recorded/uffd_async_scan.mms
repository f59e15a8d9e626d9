# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, uffd_async_scan().
scenario "the page-map scan"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    uffd_register A 0x10000000000..0x10000008000 wp
    register rec
    mark "PAGEMAP_SCAN WP_MATCHING [0,8) WRITTEN"
    pagemap_scan A 0x10000000000..0x10000008000
    mark "write 3 (async wp fault)"
    write A 0x10000003000
    mark "PAGEMAP_SCAN again"
    pagemap_scan A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
