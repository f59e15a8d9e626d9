# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hmm_exclusive().
scenario "a device takes pages to itself"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
device hmm0 : device_memory(A, 0x10000000000..0x10000080000)
task main {
    mark "HMM_EXCLUSIVE(0,4)"
    hmm0.exclusive 0x10000000000..0x10000004000
    mark "CPU read 0"
    read A 0x10000000000
    mark "CPU write 1"
    write A 0x10000001000
    mark "mprotect(0,8,R)"
    mprotect A 0x10000000000..0x10000008000 r
    mprotect A 0x10000000000..0x10000008000 rw
    mark "fork with exclusive entry 2"
    fork A B
    exit B
    mark "munmap(0,8)"
    munmap A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
