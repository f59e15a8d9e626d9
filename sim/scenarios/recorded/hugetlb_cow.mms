# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hugetlb_cow().
scenario "copy on write of hugetlb pages after fork"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000400000 rw hugetlb
}
device rec : recorder(A)
task main {
    write A 0x10000000000
    write A 0x10000200000
    register rec
    mark "fork with private hugetlb, child alive"
    fork A B
    mark "parent write 0 (hugetlb COW)"
    write A 0x10000000000
    mark "child exits"
    exit B
    mark "parent write 512"
    write A 0x10000200000
    mark "exit"
    exit A
}
