# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, hwpoison().
scenario "soft offline and memory failure"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
    vma 0x10000010000..0x10000014000 rw shmem "/tmp/hw" shared
    touch 0x10000010000..0x10000014000
}
device rec : recorder(A)
task main {
    mark "madvise(1,1,SOFT_OFFLINE) anon"
    soft_offline A 0x10000001000
    mark "madvise(16,1,SOFT_OFFLINE) shmem"
    soft_offline A 0x10000010000
    mark "madvise(3,1,HWPOISON) anon"
    memory_failure A 0x10000003000
    # The process is killed.
    exit A
}
