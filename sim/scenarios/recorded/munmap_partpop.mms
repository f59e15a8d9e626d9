# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_partpop().
scenario "munmap of a partly populated mapping"
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000003000..0x10000004000
    touch 0x10000009000..0x1000000b000
}
device rec : recorder(A)
task main {
    mark "munmap(0,16) populated 3,9,10"
    munmap A 0x10000000000..0x10000010000
    mark "exit"
    exit A
}
