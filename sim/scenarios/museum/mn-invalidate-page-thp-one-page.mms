# The callback carries an address. When a huge page is unmapped the subscriber takes away the first small translation,
# and keeps 511.
#: kind range-math
#: year 2017
#: of mm/rmap
#: detector ordering-oracle-single-run
#: because the bracket is in order and covers the pages; what is too short is what the subscriber does with it, which shows when the device uses the rest

scenario "one page invalidated for a huge page"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : dmirror(A, 0x10000..0x20000) { mutant "erase-first-page-only" } #-
#+ device gpu0 : dmirror(A, 0x10000..0x20000)

task all {
    gpu0.write 0x12000 1
    gpu0.write 0x13000 2
    munmap A 0x12000..0x14000
    gpu0.read 0x13000
}
