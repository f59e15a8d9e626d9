# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, punch_tmpfs().
scenario "holes in a tmpfs file"
mm A {
    vma 0x10000000000..0x10000010000 rw shmem "/tmp/ph" shared
    vma 0x10000020000..0x10000030000 rw shmem "/tmp/ph"
    touch 0x10000000000..0x10000010000
}
device rec : recorder(A)
task main {
    repeat 1 { read A 0x10000020000 read A 0x10000021000 read A 0x10000022000 read A 0x10000023000 read A 0x10000024000 read A 0x10000025000 read A 0x10000026000 read A 0x10000027000 read A 0x10000028000 read A 0x10000029000 read A 0x1000002a000 read A 0x1000002b000 read A 0x1000002c000 read A 0x1000002d000 read A 0x1000002e000 read A 0x1000002f000 }
    write A 0x10000024000
    register rec
    mark "fallocate PUNCH_HOLE pages 4..8 tmpfs shared [0,16) private [32,48) COWed 36"
    punch_hole "/tmp/ph" 0x4000 0x4000
    mark "PUNCH_HOLE unaligned 10.5..12.5"
    punch_hole "/tmp/ph" 0xa800 0x2000
    mark "ftruncate 2 pages"
    truncate "/tmp/ph" 0x2000
    mark "ftruncate 0"
    truncate "/tmp/ph" 0
    mark "exit"
    exit A
}
