# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_addr0().
scenario "mprotect of a mapping at address 0"
expect { ORD-PAIR }
mm A {
    vma 0x0..0x80000000 rw anon
    touch 0x5000..0x6000
    touch 0x40007000..0x40008000
}
device rec : recorder(A) { arena zero }
task main {
    mark "mprotect(addr 0, 2 GiB, R) one page populated in each 1 GiB"
    mprotect A 0x0..0x80000000 r
    mark "madvise(addr 0+5 pages,1,DONTNEED)"
    madvise A 0x5000..0x6000 MADV_DONTNEED
    mark "exit"
    exit A
}
