# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, shm_remap().
scenario "remap_file_pages"
mm A {
    vma 0x10000000000..0x10000008000 rw shmem "/tmp/rp" shared
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "remap_file_pages(0,2 -> pgoff 4)"
    remap_file_pages A 0x10000000000..0x10000002000 4
    mark "exit"
    exit A
}
