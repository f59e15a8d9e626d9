# Linux before 21a92735f660 (2012): callbacks ran inside an RCU read section, and a subscriber that takes a mutex slept
# there.
#: kind irq-or-context
#: year 2012
#: of mm/mmu_notifier
#: detector lockdep-single-run

scenario "a callback sleeps in an RCU read section"

expect { LD-RCU, CTX, LD-WAIT } #-

quirks { use-global-srcu } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device xpmem : list(A) {
    mutex seg_lock
    on start(range) { sleep  with seg_lock { zap range } }
}

task user { munmap A 0x10000..0x11000 }

never { deadlock, stale }
