# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ksm().
scenario "merging equal pages"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
}
device rec : recorder(A)
task main {
    write A 0x10000000000 119
    write A 0x10000001000 119
    write A 0x10000002000 119
    write A 0x10000003000 119
    write A 0x10000004000 68
    write A 0x10000005000 69
    write A 0x10000006000 70
    write A 0x10000007000 71
    register rec
    mark "madvise(0,8,MERGEABLE)"
    madvise A 0x10000000000..0x10000008000 MADV_MERGEABLE
    mark "ksm run=1 (pages 0..3 equal), wait"
    ksm_scan
    mark "write 0 (merged)"
    write A 0x10000000000 1
    mark "madvise(0,8,UNMERGEABLE)"
    madvise A 0x10000000000..0x10000008000 MADV_UNMERGEABLE
    mark "exit"
    exit A
}
