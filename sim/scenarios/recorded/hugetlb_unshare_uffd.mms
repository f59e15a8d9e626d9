# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hugetlb_unshare_uffd().
scenario "userfaultfd takes a shared PMD table apart"
mm B { forked }
mm A {
    vma 0x10000000000..0x10040000000 rw hugetlb "/huge/u" shared
}
device rec : recorder(A)
task main {
    truncate "/huge/u" 0x40000000
    write A 0x10000000000
    write A 0x10000200000
    fork A B
    write B 0x10000000000
    read A 0x10000000000
    register rec
    mark "uffd register WP on the shared-PMD mapping"
    uffd_register A 0x10000000000..0x10040000000 wp
    mark "UFFDIO_WRITEPROTECT(0,1024)"
    uffd_writeprotect A 0x10000000000..0x10000400000 set
    mark "exit"
    exit A
    exit B
}
