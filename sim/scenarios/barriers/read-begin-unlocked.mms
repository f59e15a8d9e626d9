# As read-begin.mms, reading both sequences without the lock. In sequentially consistent memory nothing is wrong with it.

scenario "mmu_interval_read_begin() without its lock"

expect { CHECK }

machine { memory_model relaxed }

globals { mutex dev_lock  spinlock subs_lock  spinlock ptl  word seq 2  word own_seq 1  word pte 2  word dev  word freed }

task unmap {
    with subs_lock { store seq 3 }
    with dev_lock { store own_seq 3  store dev 0 }
    with ptl { store pte 0 }
    with subs_lock { store seq 4 }
    store freed 2
}

task fault {
    load own own_seq
    load now seq
    if own is now { return }
    load page pte
    if page is 0 { return }
    with dev_lock {
        load again own_seq
        if again not own { return }
        store dev page
    }
    with dev_lock {
        load page dev
        if page not 0 { load gone freed  check gone not page }
    }
}
