# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, trunc_file().
scenario "ftruncate of a mapped file"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/tr" shared
    vma 0x10000010000..0x10000018000 rw file "/ext2/tr"
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    repeat 1 { read A 0x10000010000 read A 0x10000011000 read A 0x10000012000 read A 0x10000013000 read A 0x10000014000 read A 0x10000015000 read A 0x10000016000 read A 0x10000017000 }
    write A 0x10000011000
    write A 0x10000016000
    register rec
    mark "ftruncate(file,3 pages): shared at [0,8), private at [16,24), private COWed 17,22"
    truncate "/ext2/tr" 0x3000
    mark "ftruncate(file,2.5 pages)"
    truncate "/ext2/tr" 0x2800
    mark "ftruncate(file,8 pages) grow"
    truncate "/ext2/tr" 0x8000
    mark "exit"
    exit A
}
