# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, fork_cow_parent().
scenario "copy on write in the parent"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "fork, child stays alive"
    fork A B
    mark "parent write 0"
    write A 0x10000000000
    mark "parent read 1"
    read A 0x10000001000
    mark "parent write 1,2"
    touch A 0x10000001000..0x10000003000
    mark "parent mprotect(4,2,R)"
    mprotect A 0x10000004000..0x10000006000 r
    mark "parent mprotect(4,2,RW)"
    mprotect A 0x10000004000..0x10000006000 rw
    mark "parent write 4"
    write A 0x10000004000
    mark "child exits"
    exit B
    mark "parent write 6 (exclusive again)"
    write A 0x10000006000
    mark "exit"
    exit A
}
