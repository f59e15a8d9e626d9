# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, fork_cow_child().
scenario "copy on write in a child that registers"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(B)
task main {
    fork A B
    register rec
    mark "child write 0"
    write B 0x10000000000
    mark "child read 1"
    read B 0x10000001000
    mark "child munmap(4,4)"
    munmap B 0x10000004000..0x10000008000
    mark "child exit"
    exit B
    exit A
}
