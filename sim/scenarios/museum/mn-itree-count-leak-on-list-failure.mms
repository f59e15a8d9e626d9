# An interval subscriber and a list subscriber that may refuse. The OOM reaper's start succeeds for the first and is
# refused by the second: the caller must not end it, and nobody else lowers the count of open brackets. The removal of
# the interval subscriber waits for ever. Linux 6.12 is like this; the fixed version is the only one there is, a list
# subscriber that does not refuse.
#: kind unpaired
#: year 2019
#: of mm/mmu_notifier
#: detector ordering-oracle-single-run
#: because the refused start is over for the caller, so no end is missing by the rules of brackets; what never comes is the wake-up

scenario "a bracket left open when a list subscriber refuses"

expect { PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x20000)
device ear : list(A) {
    mutex lock
    on start(range) { if blockable { with lock { zap range } } else { refuse } } #-
    #+ on start(range) { zap range }
}

task reaper {
    gpu0.map 0x10000..0x12000
    oom_reap A
    unregister gpu0
}
