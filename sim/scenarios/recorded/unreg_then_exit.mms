# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, unreg_then_exit().
scenario "unregister, then exit"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    register rec
    mark "unregister"
    file_write { unregister rec }
    mark "exit after unregister"
    mark "exit"
    exit A
}
