# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, collapse_file().
scenario "MADV_COLLAPSE of a file's pages"
mm A {
    vma 0x10000000000..0x10000400000 rx file "/ext2/co"
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,512,COLLAPSE) ro ext2 file, private exec mapping"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "read 0"
    read A 0x10000000000
    mark "exit"
    exit A
}
