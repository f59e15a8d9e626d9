# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, compaction().
# What the pages of A move to is what another process leaves of the blocks that it had: they are higher, and not free as a whole.
scenario "compaction"
mm A {
    vma 0x10000000000..0x10000400000 rw anon
    touch 0x10000000000..0x10000400000
}
mm B { vma 0x20000000000..0x20000800000 rw anon }
device rec : recorder(A)
task main {
    touch B 0x20000000000..0x20000800000
    madvise B 0x20000001000..0x20000200000 MADV_DONTNEED
    madvise B 0x20000201000..0x20000400000 MADV_DONTNEED
    madvise B 0x20000401000..0x20000600000 MADV_DONTNEED
    madvise B 0x20000601000..0x20000800000 MADV_DONTNEED
    mark "compact_memory=1"
    file_write { compact_memory }
    mark "exit"
    exit A
}
