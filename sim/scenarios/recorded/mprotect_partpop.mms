# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_partpop().
scenario "mprotect of a partly populated mapping"
mm A {
    vma 0x10000000000..0x10001000000 rw anon
    touch 0x10000258000..0x10000259000
    touch 0x10000834000..0x10000835000
}
device rec : recorder(A)
task main {
    mark "mprotect(0,4096,R) populated 600 and 2100"
    mprotect A 0x10000000000..0x10001000000 r
    mark "exit"
    exit A
}
