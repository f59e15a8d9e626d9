# Linux before c2655835fd8c (2021): of two list subscribers one agreed to a start that must not block and the other
# refused. Nobody was told the end, so that whoever counts starts and ends, as KVM does, stayed raised.
#: kind unpaired
#: year 2021
#: of mm/mmu_notifier
#: detector ordering-oracle-single-run

scenario "a refused start leaves another subscriber without its end"

expect { ORD-PAIR } #-

quirks { pair-range-end-with-start } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device counts : list(A) { on start(range) { }  on end(range) { } }
device refuses : list(A) { on start(range) { if blockable { } else { refuse } } }

task user {
    munmap A 0x12000..0x13000
    notify nonblock A 0x10000..0x11000 { }
}

never { deadlock, stale }
