# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_untouched().
scenario "mprotect of untouched pages"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
}
device rec : recorder(A)
task main {
    mark "mprotect(0,8,R) untouched, no page table"
    mprotect A 0x10000000000..0x10000008000 r
    mmap A 0x10000010000..0x10000018000 rw anon
    touch A 0x10000010000..0x10000011000
    mark "mprotect(18,4,R) untouched but pte table exists"
    mprotect A 0x10000012000..0x10000016000 r
    mark "exit"
    exit A
}
