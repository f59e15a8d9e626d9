# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hugetlb_file().
scenario "a file of huge pages"
mm A {
    vma 0x10000000000..0x10000800000 rw hugetlb "/huge/a" shared
    vma 0x10001000000..0x10001800000 rw hugetlb "/huge/a"
}
device rec : recorder(A)
task main {
    truncate "/huge/a" 0x800000
    write A 0x10000000000
    write A 0x10000200000
    write A 0x10000400000
    write A 0x10000600000
    read A 0x10001000000
    read A 0x10001200000
    register rec
    mark "write 4096 (private hugetlb file COW)"
    write A 0x10001000000
    mark "fallocate PUNCH_HOLE 2nd huge page"
    punch_hole "/huge/a" 0x200000 0x200000
    mark "ftruncate to 4MB"
    truncate "/huge/a" 0x400000
    mark "munmap(0,2048)"
    munmap A 0x10000000000..0x10000800000
    mark "exit"
    exit A
}
