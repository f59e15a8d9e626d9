# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_big().
scenario "munmap of many pages"
mm A {
    vma 0x10000000000..0x10000800000 rw anon
    touch 0x10000000000..0x10000800000
}
device rec : recorder(A)
task main {
    mark "munmap(0,2048)"
    munmap A 0x10000000000..0x10000800000
    mark "exit"
    exit A
}
