# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hugetlb_basic().
scenario "private memory of huge pages"
mm A {
    vma 0x10000000000..0x10000800000 rw hugetlb
}
device rec : recorder(A)
task main {
    register rec
    mark "write 4 huge pages first touch"
    write A 0x10000000000
    write A 0x10000200000
    write A 0x10000400000
    write A 0x10000600000
    mark "mprotect(0,1024,R)"
    mprotect A 0x10000000000..0x10000400000 r
    mark "mprotect(0,1024,RW)"
    mprotect A 0x10000000000..0x10000400000 rw
    mark "madvise(512,512,DONTNEED)"
    madvise A 0x10000200000..0x10000400000 MADV_DONTNEED
    mark "mremap(1024,512 FIXED 8192)"
    mremap A 0x10000400000..0x10000600000 0x10002000000..0x10002200000
    mark "munmap(0,512)"
    munmap A 0x10000000000..0x10000200000
    mark "munmap(8192,512)"
    munmap A 0x10002000000..0x10002200000
    mark "exit"
    exit A
}
