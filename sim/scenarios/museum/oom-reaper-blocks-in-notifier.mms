# The OOM reaper frees memory because allocations are stuck. The callback waits for a mutex that somebody may hold
# across just such an allocation.
#: kind non-blockable-sleep
#: year 2017
#: of mm/oom
#: detector ordering-oracle-single-run
#: because the bracket is told not to block and the callback may sleep: that rule is the oracle of contexts, and says it before anybody waits

scenario "a callback that waits for its mutex while the OOM reaper calls"

expect { CTX } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x20000) { mutant "sleep-in-nonblock" } #-
#+ device gpu0 : interval_mirror(A, 0x10000..0x20000)

task reaper { gpu0.map 0x12000..0x13000  oom_reap A }
