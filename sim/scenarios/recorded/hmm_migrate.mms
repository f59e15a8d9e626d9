# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hmm_migrate().
scenario "pages move to a device's memory and back"
mm B { forked }
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
device hmm0 : device_memory(A, 0x10000000000..0x10000080000)
task main {
    mark "HMM_READ(0,4)"
    hmm0.read 0x10000000000..0x10000004000
    mark "HMM_MIGRATE_TO_DEV(0,8) populated"
    hmm0.migrate_to_dev 0x10000000000..0x10000008000
    mark "CPU read 0 (migrate_to_ram)"
    read A 0x10000000000
    mark "CPU write 1"
    write A 0x10000001000
    mark "HMM_MIGRATE_TO_SYS(2,4)"
    hmm0.migrate_to_sys 0x10000002000..0x10000006000
    mark "HMM_MIGRATE_TO_DEV(4,12) partly holes 8..15"
    hmm0.migrate_to_dev 0x10000004000..0x10000010000
    mark "fork with device private pages"
    fork A B
    exit B
    mark "mprotect(0,16,R)"
    mprotect A 0x10000000000..0x10000010000 r
    mark "munmap(0,16)"
    munmap A 0x10000000000..0x10000010000
    mark "exit"
    exit A
}
