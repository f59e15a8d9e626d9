# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ival_parallel().
scenario "two brackets at once, one of which met an interval"
mm A {
    vma 0x10000000000..0x10000010000 rw anon
    touch 0x10000000000..0x10000010000
    vma 0x10000040000..0x10000048000 rw anon
    touch 0x10000040000..0x10000048000
    vma 0x7f0000000000..0x7f0000008000 rw anon
    touch 0x7f0000000000..0x7f0000008000
    vma 0x7f0000100000..0x7f0000108000 rw anon
    touch 0x7f0000100000..0x7f0000108000
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000008000)
task main {
    register rec
    register iv0
    iv0.read_begin
    rec.sleep 400
    mark "A: madvise(0,4,DONTNEED) matches iv0; B at +150 ms: madvise(64,4,DONTNEED) unmatched; each start sleeps 400 ms; main read_begin at +450"
    sync begun
    sleep 455
    iv0.read_begin
    iv0.read_retry
    sync joined
    mark "exit"
    exit A
}
task thread_a {
    sync go_thread_a
    madvise A 0x10000000000..0x10000004000 MADV_DONTNEED
    # A thread that ends gives its stack and its heap back.
    madvise A 0x7f0000000000..0x7f0000004000 MADV_DONTNEED
    madvise A 0x7f0000004000..0x7f0000008000 MADV_DONTNEED
    sync end_thread_a
}
task thread_b {
    sync go_thread_b
    sleep 150
    madvise A 0x10000040000..0x10000044000 MADV_DONTNEED
    # A thread that ends gives its stack and its heap back.
    madvise A 0x7f0000100000..0x7f0000104000 MADV_DONTNEED
    madvise A 0x7f0000104000..0x7f0000108000 MADV_DONTNEED
    sync end_thread_b
}
order {
    main@user.begun < thread_a@user.go_thread_a
    thread_a@user.end_thread_a < main@user.joined
    main@user.begun < thread_b@user.go_thread_b
    thread_b@user.end_thread_b < main@user.joined
}
