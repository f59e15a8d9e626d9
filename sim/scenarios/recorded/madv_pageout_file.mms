# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_pageout_file().
scenario "madvise PAGEOUT of a file's pages, clean and dirty"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/po" shared
}
device rec : recorder(A)
task main {
    repeat 1 { read A 0x10000000000 read A 0x10000001000 read A 0x10000002000 read A 0x10000003000 read A 0x10000004000 read A 0x10000005000 read A 0x10000006000 read A 0x10000007000 }
    mark "madvise(0,8,PAGEOUT) clean ext2 pages"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    touch A 0x10000000000..0x10000008000
    mark "madvise(0,8,PAGEOUT) dirty ext2 pages"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "exit"
    exit A
}
