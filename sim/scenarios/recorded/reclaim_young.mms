# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, reclaim_young().
scenario "a subscriber that says that every page is young"
mm A {
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
}
device rec : recorder(A)
task main {
    rec.young 1
    mark "try_to_free_pages x3, the notifier always says young"
    file_write { age A 0x10000000000..0x10000040000 }
    mark "exit"
    exit A
}
