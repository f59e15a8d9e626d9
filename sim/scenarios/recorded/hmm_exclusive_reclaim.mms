# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hmm_exclusive_reclaim().
scenario "what becomes of device-exclusive pages"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
device hmm0 : device_memory(A, 0x10000000000..0x10000080000)
task main {
    mark "HMM_EXCLUSIVE(0,4)"
    hmm0.exclusive 0x10000000000..0x10000004000
    mark "madvise(0,8,PAGEOUT)"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "madvise(0,2,DONTNEED)"
    madvise A 0x10000000000..0x10000002000 MADV_DONTNEED
    mark "mremap(2,2 FIXED 64)"
    mremap A 0x10000002000..0x10000004000 0x10000040000..0x10000042000
    mark "read 64"
    read A 0x10000040000
    mark "exit"
    exit A
}
