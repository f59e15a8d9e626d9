# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, compaction().
scenario "compaction"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
    touch 0x10000000000..0x10000400000
}
device rec : recorder(A)
task main {
    mark "compact_memory=1"
    file_write { compact A 0x10000000000..0x10000400000 }
    mark "exit"
    exit A
}
