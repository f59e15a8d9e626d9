# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, map_fixed().
scenario "MAP_FIXED over mappings"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "mmap(0,8,FIXED anon)"
    mmap A 0x10000000000..0x10000008000 rw anon
    touch A 0x10000000000..0x10000008000
    mark "mmap(2,2,FIXED ro anon) partial"
    mmap A 0x10000002000..0x10000004000 r anon
    mark "mmap(20,4,FIXED) on nothing"
    mmap A 0x10000014000..0x10000018000 rw anon
    mark "exit"
    exit A
}
