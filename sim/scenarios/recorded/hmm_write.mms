# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hmm_write().
scenario "a device writes over zero pages and holes"
mm A {
    vma 0x10000000000..0x10000010000 rw anon
}
device rec : recorder(A)
device hmm0 : device_memory(A, 0x10000000000..0x10000080000)
task main {
    read A 0x10000000000
    read A 0x10000001000
    register rec
    mark "HMM_WRITE(0,4) over zero pages and holes"
    hmm0.write 0x10000000000..0x10000004000
    mark "HMM_SNAPSHOT(0,4)"
    mark "exit"
    exit A
}
