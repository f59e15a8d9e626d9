# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, exit_order().
scenario "two list subscribers and two intervals, to the end"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec1 : recorder(A)
device rec2 : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000004000)
device iv1 : interval_recorder(A, 0x10040000000..0x10040004000)
task main {
    register rec1
    register rec2
    register iv0
    register iv1
    mark "munmap(0,2): two list notifiers, interval 0 [0,4), interval 1 [262144,262148)"
    munmap A 0x10000000000..0x10000002000
    mark "exit with all registered"
    mark "exit"
    exit A
}
