# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, cow_force().
scenario "writes through /proc/self/mem to read-only memory"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mprotect A 0x10000000000..0x10000004000 r
    fork A B
    exit B
    register rec
    mark "write page 0 via /proc/self/mem, ro private anon"
    file_write { gup_write A 0x10000000000 force }
    mmap A 0x10000010000..0x10000012000 r file "/ext2/ff"
    touch A 0x10000010000..0x10000012000
    mark "write page 16 via /proc/self/mem, ro private file"
    file_write { gup_write A 0x10000010000 force }
    mark "exit"
    exit A
}
