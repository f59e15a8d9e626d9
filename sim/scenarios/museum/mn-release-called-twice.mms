# Linux before 751efd8610d3 (2013): a subscriber that the exit had released already was released again when it
# unregistered, on state that was torn down.
#: kind lifetime-uaf
#: year 2013
#: of mm/mmu_notifier
#: detector refcount/lifetime oracle + exploration
#: because a second release is a callback out of place

scenario "release is called twice"

expect { ORD-CALLBACK } #-

quirks { no-multiple-release } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device toy : list(A) { on release { zap 0x10000..0x14000 } }

task user { exit A  unregister toy }

never { deadlock, stale }
