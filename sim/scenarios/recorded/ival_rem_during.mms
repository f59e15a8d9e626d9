# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ival_rem_during().
scenario "an interval is removed while a bracket that met it is open"
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000000000..0x10000010000
    vma 0x7f0000000000..0x7f0000008000 rw anon
    touch 0x7f0000000000..0x7f0000008000
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000008000)
task main {
    register rec
    register iv0
    rec.sleep 400
    mark "thread A munmap(0,4), start sleeps 400 ms; main removes iv0 meanwhile"
    sync begun
    sleep 100
    unregister iv0
    sync joined
    mark "exit"
    exit A
}
task thread_a {
    sync go_thread_a
    munmap A 0x10000000000..0x10000004000
    # A thread that ends gives its stack and its heap back.
    madvise A 0x7f0000000000..0x7f0000004000 MADV_DONTNEED
    madvise A 0x7f0000004000..0x7f0000008000 MADV_DONTNEED
    sync end_thread_a
}
order {
    main@user.begun < thread_a@user.go_thread_a
    thread_a@user.end_thread_a < main@user.joined
}
