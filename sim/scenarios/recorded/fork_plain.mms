# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, fork_plain().
scenario "fork of four kinds of mapping"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    vma 0x10000010000..0x10000014000 r anon
    vma 0x10000018000..0x1000001c000 rw anon shared
    vma 0x10000020000..0x10000028000 rw anon
    touch 0x10000000000..0x10000008000
    touch 0x10000010000..0x10000014000
    touch 0x10000018000..0x1000001c000
}
device rec : recorder(A)
task main {
    mark "fork: [0,8) touched anon, [16,20) ro zero, [24,28) shared, [32,40) untouched"
    fork A B
    exit B
    mark "parent writes 0..1 after the child is gone"
    touch A 0x10000000000..0x10000002000
    mark "second fork"
    fork A B
    exit B
    mark "exit"
    exit A
}
