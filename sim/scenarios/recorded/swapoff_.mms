# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, swapoff_().
scenario "swapped pages come back"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    register rec
    mark "swapoff with 8 swapped pages"
    swapin A 0x10000000000..0x10000008000
    mark "touch"
    touch A 0x10000000000..0x10000008000
    mark "swapon"
    mark "exit"
    exit A
}
