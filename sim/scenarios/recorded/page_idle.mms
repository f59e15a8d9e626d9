# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, page_idle().
scenario "the page-idle map"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "page_idle write bit of page 1"
    page_idle A 0x10000001000
    mark "page_idle read"
    page_idle A 0x10000001000
    mark "touch 1 and read bit"
    write A 0x10000001000
    page_idle A 0x10000001000
    mark "exit"
    exit A
}
