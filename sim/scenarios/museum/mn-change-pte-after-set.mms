# Linux before 48af0d7cb3c8 (2012): copy on write mapped the copy first and told subscribers then. Meanwhile another CPU
# wrote to the copy, and a device read the page that it replaced.
#: kind wrong-order
#: year 2012
#: of mm/COW
#: detector stale-translation-oracle + schedule-exploration
#: because the page was announced too late: the rule of brackets says so in one run, whether or not a device reads the old page meanwhile

scenario "the copy is mapped before the page is announced"

expect { ORD-CLEAR } #-

quirks { clear-before-set-in-cow } #-

mm B { forked }
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    fork A B
    gpu0.map 0x10000..0x11000
    write A 0x10000 5
}

never { deadlock }
