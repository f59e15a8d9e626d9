# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_puds().
scenario "mprotect of 3 GiB"
mm A {
    vma 0x10000000000..0x100c0000000 rw anon
    touch 0x10000005000..0x10000006000
    touch 0x10041b58000..0x10041b59000
    touch 0x10080001000..0x10080002000
}
device rec : recorder(A)
task main {
    mark "mprotect(0,786432,R) one page populated in each of 3 GiB chunks"
    mprotect A 0x10000000000..0x100c0000000 r
    mark "mprotect(262144,262144,RW) the middle GiB"
    mprotect A 0x10040000000..0x10080000000 rw
    mark "exit"
    exit A
}
