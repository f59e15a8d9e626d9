# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, brk_shrink().
scenario "brk"
mm A {
    brk 0x20000000
}
device rec : recorder(A) { base 0x20000000 }
task main {
    brk A 0x20010000
    touch A 0x20000000..0x20010000
    register rec
    mark "brk shrink 16->10 pages"
    brk A 0x2000a000
    mark "brk grow 10->20"
    brk A 0x20014000
    mark "brk shrink 20->0"
    brk A 0x20000000
    mark "exit"
    exit A
}
