# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, pressure().
scenario "another process allocates more than there is"
machine { memory 6M  swap 64M  kswapd on }
mm H { vma 0x10000000..0x10600000 rw anon  touch 0x10000000..0x10001000 }
mm A {
    vma 0x10000000000..0x10000100000 rw anon
    touch 0x10000000000..0x10000100000
    vma 0x10000200000..0x10000210000 rw file "/ext2/pr" shared
}
device rec : recorder(A)
task main {
    repeat 1 { read A 0x10000200000 read A 0x10000201000 read A 0x10000202000 read A 0x10000203000 read A 0x10000204000 read A 0x10000205000 read A 0x10000206000 read A 0x10000207000 read A 0x10000208000 read A 0x10000209000 read A 0x1000020a000 read A 0x1000020b000 read A 0x1000020c000 read A 0x1000020d000 read A 0x1000020e000 read A 0x1000020f000 }
    mark "another process allocates more than free memory (swap on zram)"
    # What kswapd asks first.
    age A 0x10000200000..0x10000210000
    touch H 0x10000000..0x10600000
    exit H
    mark "exit"
    exit A
}
