# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_holes_wide().
scenario "munmap over wide holes"
mm A {
    vma 0x10000000000..0x10000002000 rw anon
    touch 0x10000000000..0x10000002000
    vma 0x10000800000..0x10000802000 rw anon
    touch 0x10000800000..0x10000802000
    vma 0x10080000000..0x10080002000 rw anon
    touch 0x10080000000..0x10080002000
}
device rec : recorder(A)
task main {
    mark "munmap(0,524290) vmas at 0,2048,524288"
    munmap A 0x10000000000..0x10080002000
    mark "exit"
    exit A
}
