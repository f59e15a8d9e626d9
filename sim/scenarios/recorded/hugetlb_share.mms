# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hugetlb_share().
scenario "hugetlb pages under a PMD table that two processes share"
mm B { forked }
mm A {
    vma 0x10000000000..0x10080000000 rw hugetlb "/huge/s" shared
}
device rec : recorder(A)
task main {
    truncate "/huge/s" 0x80000000
    write A 0x10000000000
    write A 0x10000200000
    write A 0x10040000000
    fork A B
    write B 0x10000000000
    write B 0x10000200000
    write B 0x10040000000
    read A 0x10000000000
    register rec
    mark "mprotect(0,512,R) first huge page of a 2 GiB shared-PMD mapping"
    mprotect A 0x10000000000..0x10000200000 r
    mark "write 512"
    write A 0x10000200000
    mark "munmap(512,512)"
    munmap A 0x10000200000..0x10000400000
    mark "madvise(262144,512,DONTNEED)"
    madvise A 0x10040000000..0x10040200000 MADV_DONTNEED
    mark "mremap(262144,512 FIXED 1048576)"
    mremap A 0x10040000000..0x10040200000 0x10100000000..0x10100200000
    mark "ftruncate(1 GiB)"
    truncate "/huge/s" 0x40000000
    mark "exit"
    exit A
    exit B
}
