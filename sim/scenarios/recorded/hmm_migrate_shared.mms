# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hmm_migrate_shared().
scenario "pages that a forked child shares move to a device's memory"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000004000 rw anon
    touch 0x10000000000..0x10000004000
}
device rec : recorder(A)
device rec2 : recorder(B)
device hmm0 : device_memory(A, 0x10000000000..0x10000080000)
task main {
    fork A B
    register rec2
    mark "HMM_MIGRATE_TO_DEV(0,4) pages shared with a forked child (reg of the child is the second)"
    hmm0.migrate_to_dev 0x10000000000..0x10000004000
    mark "HMM_EXCLUSIVE(0,2)"
    hmm0.exclusive 0x10000000000..0x10000002000
    mark "child read 0"
    read B 0x10000000000
    mark "child exit"
    exit B
    mark "exit"
    exit A
}
