# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_pageout().
scenario "madvise PAGEOUT and swapping in"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(0,8,PAGEOUT) anon"
    madvise A 0x10000000000..0x10000008000 MADV_PAGEOUT
    mark "write fault swap-in 0..3"
    touch A 0x10000000000..0x10000004000
    mark "read fault swap-in 4..7"
    repeat 1 { read A 0x10000004000 read A 0x10000005000 read A 0x10000006000 read A 0x10000007000 }
    mark "write 4..7 after read swap-in"
    touch A 0x10000004000..0x10000008000
    mark "exit"
    exit A
}
