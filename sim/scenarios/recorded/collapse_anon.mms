# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, collapse_anon().
scenario "MADV_COLLAPSE of anonymous memory"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000264000
    register rec
    mark "madvise(0,512,COLLAPSE) 512 small pages"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "madvise(512,512,COLLAPSE) 100 of 512 present"
    madvise A 0x10000200000..0x10000400000 MADV_COLLAPSE
    mark "madvise(0,512,COLLAPSE) already THP"
    madvise A 0x10000000000..0x10000200000 MADV_COLLAPSE
    mark "write 0"
    write A 0x10000000000
    mark "exit"
    exit A
}
