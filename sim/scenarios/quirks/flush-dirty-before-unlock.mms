# Linux before 1cf35d47712d (2014): zapping moved the dirty bit of an entry to its page and gathered the flush for later. Writeback finds no
# entry, takes the page for clean, and writes it to the disk; a CPU still writes to it. Found by STALE; silent without the quirk.

scenario "a page clean and still written to"

expect { STALE }

quirks { flush-dirty-before-unlock }

machine { cpus 3  memory 16M }

mm A { vma 0x10000..0x14000 rw file "f" shared }

task zap { sync ready  madvise A 0x10000..0x11000 MADV_DONTNEED }
task writeback { sync ready  sleep 5  fsync "f" }
task user { write A 0x10000 1  sync cached  sleep 10  write A 0x10000 2  sync used }

order {
    user@user.cached < zap@user.ready
    user@user.cached < writeback@user.ready
    user@user.used < zap@mm.window
}

never { deadlock }
