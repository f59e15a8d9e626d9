# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, move_pages_().
scenario "pages move between nodes"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "move_pages 0..3 -> node1"
    move_pages A 0x10000000000..0x10000004000 1
    mark "move_pages 0..3 -> node0"
    move_pages A 0x10000000000..0x10000004000 0
    mark "migrate_pages node0->node1"
    move_pages A 0x10000000000..0x10000008000 1
    mark "mbind(4,4,BIND node0,MOVE)"
    move_pages A 0x10000004000..0x10000008000 0
    mark "exit"
    exit A
}
