# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_huge_batch().
scenario "munmap of more pages than a gather holds"
mm A {
    vma 0x10000000000..0x10005dc0000 rw anon
    touch 0x10000000000..0x10005dc0000
}
device rec : recorder(A)
task main {
    mark "munmap(0,24000)"
    munmap A 0x10000000000..0x10005dc0000
    mark "exit"
    exit A
}
