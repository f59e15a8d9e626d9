# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, pud_unmap().
scenario "munmap of 2 GiB with two pages"
mm A {
    vma 0x10000000000..0x10080000000 rw anon
    touch 0x10000000000..0x10000001000
    touch 0x100493e0000..0x100493e1000
}
device rec : recorder(A)
task main {
    mark "munmap(0,524288) 2 GiB, pages 0 and 300000"
    munmap A 0x10000000000..0x10080000000
    mark "exit"
    exit A
}
