# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mprotect_touched().
scenario "mprotect of touched pages"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "mprotect(0,8,R)"
    mprotect A 0x10000000000..0x10000008000 r
    mark "mprotect(0,8,RW) upgrade"
    mprotect A 0x10000000000..0x10000008000 rw
    mark "write all after upgrade"
    touch A 0x10000000000..0x10000008000
    mark "mprotect(0,8,RW) same prot"
    mprotect A 0x10000000000..0x10000008000 rw
    mark "mprotect(2,3,R) split"
    mprotect A 0x10000002000..0x10000005000 r
    mark "mprotect(0,8,NONE)"
    mprotect A 0x10000000000..0x10000008000 none
    mark "mprotect(0,8,RW) from NONE"
    mprotect A 0x10000000000..0x10000008000 rw
    mark "exit"
    exit A
}
