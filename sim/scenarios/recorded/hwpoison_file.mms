# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hwpoison_file().
scenario "memory failure of a clean page of a file"
mm A {
    vma 0x10000000000..0x10000004000 rw file "/ext2/hp" shared
}
device rec : recorder(A)
task main {
    repeat 1 { read A 0x10000000000 read A 0x10000001000 read A 0x10000002000 read A 0x10000003000 }
    mark "madvise(1,1,HWPOISON) clean ext2 page"
    memory_failure A 0x10000001000
    mark "exit"
    exit A
}
