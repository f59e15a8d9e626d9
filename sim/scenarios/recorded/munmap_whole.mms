# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_whole().
scenario "munmap of a whole mapping"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "munmap(0,8)"
    munmap A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
