# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, cow_file().
scenario "writes to private pages of a file"
mm A {
    vma 0x10000000000..0x10000004000 rw file "/ext2/cf"
}
device rec : recorder(A)
task main {
    mark "read 0..3 private file"
    repeat 1 { read A 0x10000000000 read A 0x10000001000 read A 0x10000002000 read A 0x10000003000 }
    mark "write 0 (COW from page cache)"
    write A 0x10000000000
    mark "munmap(3,1) then write first-touch none"
    munmap A 0x10000003000..0x10000004000
    mmap A 0x10000008000..0x1000000c000 rw file "/ext2/cf"
    mark "write 8 first touch of private file page"
    write A 0x10000008000
    mark "exit"
    exit A
}
