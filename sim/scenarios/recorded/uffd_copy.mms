# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, uffd_copy().
scenario "userfaultfd: pages are made and moved"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    vma 0x10000040000..0x10000048000 rw anon
    touch 0x10000040000..0x10000048000
}
device rec : recorder(A)
task main {
    mark "uffd register MISSING [0,8)"
    uffd_register A 0x10000000000..0x10000008000 missing
    mark "UFFDIO_COPY to 0,1"
    uffd_copy A 0x10000000000..0x10000002000
    mark "UFFDIO_ZEROPAGE 2,3"
    uffd_zeropage A 0x10000002000..0x10000004000
    mark "UFFDIO_MOVE 68,69 -> 4,5"
    uffd_move A 0x10000004000..0x10000006000 0x10000044000
    mark "exit"
    exit A
}
