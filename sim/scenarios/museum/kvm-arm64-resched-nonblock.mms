# A long unmap yields the CPU at intervals, and does so too when the OOM reaper calls, which must not wait.
#: kind non-blockable-sleep
#: year 2020
#: of KVM arm64
#: detector lockdep-single-run
#: because that a callback told not to block must not sleep is the rule of the oracle of contexts; the kernel checks it with non_block_start(), not with a lock class

scenario "a reschedule in a callback that must not block"

expect { CTX } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "resched-nonblock" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task reaper { gpu0.write 0x12000 1  oom_reap A }
