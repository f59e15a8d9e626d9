# Linux before 4cccb6221cae (2024): PAGEMAP_SCAN announced its range before it took mmap_lock, and closed the bracket when it had let it
# go. Found by ORD-CLEAR; silent without the quirk.

scenario "announced before the lock"

expect { ORD-CLEAR }

quirks { bracket-under-mmap-lock }

machine { memory 16M  seed 7 }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }

device gpu0 : interval_mirror(A, 0x10000..0x14000)

task user {
    uffd_register A 0x10000..0x14000 wp
    gpu0.map_write 0x10000..0x14000
    pagemap_scan A 0x10000..0x14000
}

never { deadlock }
