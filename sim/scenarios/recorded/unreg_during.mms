# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, unreg_during().
scenario "unregister while a start sleeps"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec1 : recorder(A)
device rec2 : recorder(A)
task thread {
    sync go
    munmap A 0x10000000000..0x10000004000
}
task main {
    register rec1
    register rec2
    rec2.sleep 400
    mark "thread A munmap(0,4) (start of notifier 2 sleeps 400 ms); thread B unregisters notifier 2 meanwhile"
    sync begun
    sleep 100
    file_write shared { unregister rec2 }
    sleep 500
    mark "munmap(4,4)"
    munmap A 0x10000004000..0x10000008000
    mark "exit"
    exit A
}
order { main@user.begun < thread@user.go }
