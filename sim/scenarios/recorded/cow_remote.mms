# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, cow_remote().
scenario "process_vm_writev from another process"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
task main {
    mark "fork keeper"
    fork A B
    mark "process_vm_writev to page 0 by another process"
    gup_write A 0x10000000000
    exit B
    mark "exit"
    exit A
}
