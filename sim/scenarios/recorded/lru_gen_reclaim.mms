# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, lru_gen_reclaim().
scenario "reclaim by MGLRU"
mm A {
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
}
device rec : recorder(A)
task main {
    mark "try_to_free_pages x25 with MGLRU"
    file_write { lru_gen_walk A 0x10000000000..0x10000040000  lru_gen_age A 0x10000000000..0x10000040000  reclaim A 0x10000000000..0x10000040000 }
    mark "exit"
    exit A
}
