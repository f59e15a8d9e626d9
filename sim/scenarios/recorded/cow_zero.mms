# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, cow_zero().
scenario "writes to the zero page"
mm A {
    vma 0x10000000000..0x10000004000 rw anon
}
device rec : recorder(A)
task main {
    mark "read fault 0..1 (zero page)"
    repeat 1 { read A 0x10000000000 read A 0x10000001000 }
    mark "write 0 (zero page -> anon)"
    write A 0x10000000000
    mark "first touch write 2"
    write A 0x10000002000
    mark "POPULATE_READ 0..4"
    madvise A 0x10000000000..0x10000004000 MADV_POPULATE_READ
    mark "exit"
    exit A
}
