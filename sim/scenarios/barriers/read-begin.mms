# The collision-retry scheme of interval notifiers (mm/mmu_notifier.c, Linux 6.12) on words: the lock in
# mmu_interval_read_begin() is the barrier between the sequence and the page-table entries that are looked up after it.

scenario "mmu_interval_read_begin() with its lock"

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
    with subs_lock { load own own_seq  load now seq }
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
