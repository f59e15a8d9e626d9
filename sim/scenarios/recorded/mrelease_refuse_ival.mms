# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, mrelease_refuse_ival().
scenario "process_mrelease that an interval subscriber refuses"
expect { PROG-DEADLOCK }
mm A {
    vma 0x400000..0x404000 rw anon
    vma 0x410000..0x414000 rw anon
    vma 0x420000..0x424000 rw anon
    vma 0x430000..0x434000 rw anon
    vma 0x440000..0x444000 rw anon
    vma 0x450000..0x454000 rw anon
    vma 0x460000..0x464000 rw anon
    vma 0x7ffff0000000..0x7ffff0004000 rw anon
    vma 0x7ffff0010000..0x7ffff0014000 rw anon
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
    vma 0x10000080000..0x100000a0000 rw anon shared
    touch 0x10000080000..0x100000a0000
    vma 0x10000100000..0x10000108000 rw anon
    vma 0x10000200000..0x10000208000 rw anon
    touch 0x10000200000..0x10000208000
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000010000)
task victim {
    mark "victim: madvise(512,8,DONTNEED), its start callback sleeps 1.5 s"
    register rec
    register iv0
    rec.refuse 1
    iv0.refuse 1
    rec.sleep 1500
    madvise A 0x10000200000..0x10000208000 MADV_DONTNEED
    # It is killed; what it had open is closed after its memory.
    exit A
    unregister iv0
    sync gone
}
task other {
    sleep 300
    mark "process_mrelease by another task while that bracket is open; vmas [0,64) anon [128,160) shared [256,264) untouched [512,520) anon"
    process_mrelease A
    sync after
    mark "victim gone"
}
order { victim@user.gone < other@user.after }
