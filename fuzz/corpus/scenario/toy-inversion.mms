# A driver written here: its lock is taken in the callback and held around an allocation by a task.

scenario "an inline driver that allocates under its notifier lock"

expect { LD-CIRCULAR }

machine { seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device toy : interval(A, 0x10000..0x50000) {
    mutex vm_lock
    on invalidate(range) {
        if blockable {
            with vm_lock { set_seq zap range }
        } else {
            refuse
        }
    }
    op bind(range) {
        retry {
            read_begin
            fault range
            with vm_lock { check_retry map range }
        }
    }
}

task user {
    toy.bind 0x10000..0x12000
    with toy.vm_lock { alloc 1 GFP_KERNEL }
}
task unmap { munmap A 0x10000..0x11000 }

# The unmap comes after the user's allocation: the two never meet, and the validator sees it all the same.
order { user@alloc < unmap@notifier.range_start }

never { deadlock, stale }

assert {
    callbacks toy.invalidate >= 1
    edge "toy.vm_lock" -> "fs_reclaim"
    edge "mmu_notifier_invalidate_range_start" -> "toy.vm_lock"
}
