# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_cold().
scenario "madvise COLD"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(0,8,COLD)"
    madvise A 0x10000000000..0x10000008000 MADV_COLD
    mark "exit"
    exit A
}
