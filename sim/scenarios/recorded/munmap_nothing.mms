# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_nothing().
scenario "munmap of nothing"
mm A {
}
device rec : recorder(A)
task main {
    mark "munmap(0,8) no vma"
    munmap A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
