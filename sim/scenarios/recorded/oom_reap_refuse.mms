# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, oom_reap_refuse().
scenario "the OOM reaper, refused by a list subscriber"
expect { PROG-DEADLOCK }
mm A {
    vma 0x400000..0x428000 rw anon
    vma 0x500000..0x528000 rw anon
    vma 0x600000..0x628000 rw anon
    touch 0x400000..0x428000
    touch 0x500000..0x528000
    touch 0x600000..0x628000
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
    vma 0x10000080000..0x100000a0000 rw anon shared
    touch 0x10000080000..0x100000a0000
    vma 0x10000100000..0x10000104000 r anon
    touch 0x10000100000..0x10000104000
    vma 0x1000012c000..0x10000134000 rw file "/ext2/oo"
    touch 0x1000012c000..0x10000130000
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000010000)
task victim {
    register rec
    register iv0
    rec.refuse 1
    rec.release_sleep 5000
    mark "sysrq-f OOM kill, victim stays 5 s inside its release callback"
    sync killed
    exit A
    unregister iv0
    sync gone
}
task oom_reaper {
    sync go
    # OOM_REAPER_DELAY
    sleep 2000
    oom_reap A
}
task init { sync after  mark "victim gone" }
order { victim@user.killed < oom_reaper@user.go  victim@user.gone < init@user.after }
