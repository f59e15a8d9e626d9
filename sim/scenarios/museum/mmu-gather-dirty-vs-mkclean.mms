# Linux before 1cf35d47712d (2014): zapping moved the dirty bit of an entry to its page and gathered the flush for later.
# Writeback finds no entry, takes the page for clean, and writes it to the disk. A CPU still writes to it.
#: kind wrong-order
#: year 2014
#: of mm/memory
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000
#: only-buggy mm.window

scenario "a page clean and still written to"

expect { STALE } #-

quirks { flush-dirty-before-unlock } #-

machine { cpus 3  memory 16M  seed 7 }

mm A { vma 0x10000..0x14000 rw file "f" shared }

task zap { sync ready  madvise A 0x10000..0x11000 MADV_DONTNEED }
task writeback { sync ready  fsync "f" }

task user {
    write A 0x10000 1
    sync cached
    repeat 6 { write A 0x10000 2 }
}

order {
    user@user.cached < zap@user.ready
    user@user.cached < writeback@user.ready
}

never { deadlock }
