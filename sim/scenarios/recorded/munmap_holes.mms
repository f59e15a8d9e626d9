# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_holes().
scenario "munmap over a hole"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
    vma 0x10000008000..0x1000000c000 rw anon
    touch 0x10000008000..0x1000000c000
}
device rec : recorder(A)
task main {
    mark "munmap(2,8) vmas [0,4) [8,12)"
    munmap A 0x10000002000..0x1000000a000
    mark "exit"
    exit A
}
