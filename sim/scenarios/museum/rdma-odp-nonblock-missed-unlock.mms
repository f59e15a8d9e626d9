# Told not to block, the callback takes its mutex by trylock, finds that it would have to wait, and returns without
# releasing it. Whoever needs the mutex next waits for ever.
#: kind non-blockable-sleep
#: year 2019
#: of RDMA/core ODP
#: detector lockdep-single-run

scenario "a refusal with the lock held"

expect { LD-HELD, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_odp(A, 0x10000..0x20000) { mutant "nonblock-missed-unlock" } #-
#+ device gpu0 : mlx5_odp(A, 0x10000..0x20000)

task reaper { oom_reap A }
task dereg { sync late  unregister gpu0 }
order { reaper@notifier.callback < dereg@user.late }
