# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, move_pages_file().
scenario "pages of files move between nodes"
mm A {
    vma 0x10000000000..0x10000004000 rw file "/ext2/mv" shared
    vma 0x10000010000..0x10000014000 rw anon shared
    touch 0x10000000000..0x10000004000
    touch 0x10000010000..0x10000014000
}
device rec : recorder(A)
task main {
    mark "move_pages ext2 0,1 and shmem 16,17 -> node1"
    move_pages A 0x10000000000..0x10000002000 1
    move_pages A 0x10000010000..0x10000012000 1
    mark "-> node0"
    move_pages A 0x10000000000..0x10000002000 0
    move_pages A 0x10000010000..0x10000012000 0
    mark "exit"
    exit A
}
