# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ival_seq_during().
scenario "readers and an insertion while a bracket that met an interval is open"
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000000000..0x10000010000
    vma 0x10000040000..0x10000048000 rw anon
    touch 0x10000040000..0x10000048000
    vma 0x7f0000000000..0x7f0000008000 rw anon
    touch 0x7f0000000000..0x7f0000008000
    vma 0x7f0000100000..0x7f0000108000 rw anon
    touch 0x7f0000100000..0x7f0000108000
    vma 0x7f0000200000..0x7f0000208000 rw anon
    touch 0x7f0000200000..0x7f0000208000
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000008000)
device iv1 : interval_recorder(A, 0x10000002000..0x1000000a000)
task main {
    register rec
    register iv0
    iv0.read_begin
    rec.sleep 400
    mark "thread A munmap(0,4) matching iv0, list start sleeps 400 ms; B at +100: iv0 retry, read_begin; C at +150: insert iv1=[2,10), read_begin"
    sync begun
    sync joined
    rec.sleep 0
    mark "munmap(4,4)"
    munmap A 0x10000004000..0x10000008000
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
task thread_b {
    sync go_thread_b
    sleep 100
    iv0.read_retry
    iv0.read_begin
    iv0.read_retry
    # A thread that ends gives its stack and its heap back.
    madvise A 0x7f0000100000..0x7f0000104000 MADV_DONTNEED
    madvise A 0x7f0000104000..0x7f0000108000 MADV_DONTNEED
    sync end_thread_b
}
task thread_c {
    sync go_thread_c
    sleep 150
    register iv1
    iv1.read_begin
    iv1.read_retry
    # A thread that ends gives its stack and its heap back.
    madvise A 0x7f0000200000..0x7f0000204000 MADV_DONTNEED
    madvise A 0x7f0000204000..0x7f0000208000 MADV_DONTNEED
    sync end_thread_c
}
order {
    main@user.begun < thread_a@user.go_thread_a
    thread_a@user.end_thread_a < main@user.joined
    main@user.begun < thread_b@user.go_thread_b
    thread_b@user.end_thread_b < main@user.joined
    main@user.begun < thread_c@user.go_thread_c
    thread_c@user.end_thread_c < main@user.joined
}
