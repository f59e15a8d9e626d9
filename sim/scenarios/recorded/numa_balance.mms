# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, numa_balance().
scenario "NUMA balancing"
mm A {
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
}
device rec : recorder(A)
task main {
    move_pages A 0x10000000000..0x10000040000 1
    register rec
    mark "busy reads for 2.5 s, pages on node1, cpu of node0, numa_balancing=1"
    numa_scan A 0x10000000000..0x10000040000
    touch A 0x10000000000..0x10000040000
    numa_scan A 0x10000000000..0x10000040000
    touch A 0x10000000000..0x10000040000
    mark "exit"
    exit A
}
