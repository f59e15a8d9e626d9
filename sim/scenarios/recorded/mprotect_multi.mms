# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_multi().
scenario "mprotect of three mappings"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    vma 0x10000004000..0x10000008000 r anon
    vma 0x10000008000..0x1000000c000 rw anon shared
    touch 0x10000000000..0x1000000c000
}
device rec : recorder(A)
task main {
    mark "mprotect(0,12,R) three vmas"
    mprotect A 0x10000000000..0x1000000c000 r
    mark "mprotect(0,12,RW)"
    mprotect A 0x10000000000..0x1000000c000 rw
    mark "exit"
    exit A
}
