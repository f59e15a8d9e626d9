# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, reclaim_shared_cow().
scenario "reclaim of pages that a forked child shares"
mm B { forked }
mm C { forked }
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000000000..0x10000010000
}
device rec : recorder(A)
task main {
    fork A B
    mark "try_to_free_pages with pages shared with a forked child"
    fork A C
    munmap C 0x10000000000..0x10000010000
    file_write { age A 0x10000000000..0x10000010000  reclaim A 0x10000000000..0x10000010000 }
    exit C
    exit B
    mark "exit"
    exit A
}
