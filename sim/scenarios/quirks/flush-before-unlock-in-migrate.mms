# Linux before 60bae7370896 (2022): collecting pages for a device cleared entries under the page-table lock and flushed when it had let it
# go. MADV_DONTNEED in between finds no page, flushes nothing and returns; a CPU writes to the page afterwards. Found by STALE;
# silent without the quirk.

scenario "entries collected and flushed outside of the lock"

expect { STALE }

quirks { flush-before-unlock-in-migrate }

machine { cpus 3  memory 16M }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x11000 }

device gpu0 : device_memory(A, 0x10000..0x14000)

task migrate { sync ready  gpu0.migrate_to_dev 0x10000..0x11000 }
task dontneed { sync ready  sleep 5  madvise A 0x10000..0x11000 MADV_DONTNEED  sync gone }
task user { write A 0x10000 1  sync cached  sleep 10  write A 0x10000 2  sync used }

order {
    user@user.cached < migrate@user.ready
    user@user.cached < dontneed@user.ready
    user@user.used < migrate@mm.window
}

never { deadlock }
