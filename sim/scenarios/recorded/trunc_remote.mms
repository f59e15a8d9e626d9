# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, trunc_remote().
scenario "another process truncates"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/t2" shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "another process truncates the file to 3 pages"
    truncate "/ext2/t2" 0x3000
    mark "exit"
    exit A
}
