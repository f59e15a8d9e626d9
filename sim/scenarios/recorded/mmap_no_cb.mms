# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mmap_no_cb().
scenario "mapping and first touch announce nothing"
mm A {
}
device rec : recorder(A)
task main {
    mark "mmap(0,8)"
    mmap A 0x10000000000..0x10000008000 rw anon
    mark "first touch write"
    touch A 0x10000000000..0x10000008000
    mark "first touch read of new map"
    mmap A 0x10000010000..0x10000014000 r anon
    touch A 0x10000010000..0x10000014000
    mark "mmap(32,8,POPULATE)"
    mmap A 0x10000020000..0x10000028000 rw anon
    touch A 0x10000020000..0x10000028000
    mark "mmap shared + touch"
    mmap A 0x10000040000..0x10000044000 rw anon shared
    touch A 0x10000040000..0x10000044000
    mark "exit"
    exit A
}
