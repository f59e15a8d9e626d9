# Linux before 319561669a59 (2022): the last end made the sequence even and then carried out what was deferred. A
# removal that waited for the sequence looked at it without the lock and returned in between, with its subscription
# still in the tree. The pins put another unmapping there.
#: kind lifetime-uaf
#: year 2022
#: of mm/mmu_notifier
#: detector refcount/lifetime oracle + exploration
#: because what follows from the early return is a callback into a subscription that was removed, and that is ORD-CALLBACK
#: only-buggy notifier.deferred

scenario "an interval is called after its removal returned"

expect { ORD-CALLBACK } #-

quirks { fix-interval-remove-race } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device toy : interval(A, 0x10000..0x14000) {
    mutex lock
    on invalidate(range) { with lock { set_seq  zap range } }
}

task open { notify A 0x10000..0x11000 { sync opened  sleep 5 } }
task remove { sync begin  unregister toy  sync removed }
task unmap { sync go  munmap A 0x12000..0x13000  sync done }

order {
    open@user.opened < remove@user.begin
    remove@user.removed < unmap@user.go
    unmap@user.done < open@notifier.deferred
}

never { deadlock, stale }
