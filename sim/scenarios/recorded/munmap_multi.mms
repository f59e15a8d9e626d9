# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, munmap_multi().
scenario "munmap of three mappings"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    vma 0x10000004000..0x10000008000 r anon
    vma 0x10000008000..0x1000000c000 rw anon shared
    touch 0x10000000000..0x1000000c000
}
device rec : recorder(A)
task main {
    mark "munmap(0,12) three vmas rw-anon,ro-zero,shared-anon"
    munmap A 0x10000000000..0x1000000c000
    mark "exit"
    exit A
}
