# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_partial().
scenario "munmap of the middle, the head and the tail"
mm A {
    vma 0x10000000000..0x1000000c000 rw anon
    touch 0x10000000000..0x1000000c000
}
device rec : recorder(A)
task main {
    mark "munmap(4,4) middle"
    munmap A 0x10000004000..0x10000008000
    mark "munmap(0,2) head"
    munmap A 0x10000000000..0x10000002000
    mark "munmap(10,2) tail"
    munmap A 0x1000000a000..0x1000000c000
    mark "exit"
    exit A
}
