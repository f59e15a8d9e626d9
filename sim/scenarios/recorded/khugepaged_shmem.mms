# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, khugepaged_shmem(). The daemon is inside its
# first callback when the process goes on to wait, as in one of the recorded rounds.
scenario "khugepaged and shared memory"
mm A {
    vma 0x10000000000..0x10000400000 rw anon shared
}
device rec : recorder(A)
task main {
    touch A 0x10000000000..0x10000400000
    register rec
    mark "madvise(0,1024,HUGEPAGE) shared anon, khugepaged active"
    madvise A 0x10000000000..0x10000400000 MADV_HUGEPAGE
    rec.sleep 10
    sync active
    sleep 1
    mark "wait"
    rec.sleep 0
    sleep 2500
    mark "exit"
    exit A
}
task khugepaged {
    sync scan
    khugepaged A 0x10000000000..0x10000400000
}
order { main@user.active < khugepaged@user.scan }
