# Linux before a4a118f2eead (2021): unmapping memory whose PMD table others have too leaves them the table, and flushed only when the
# mapping's lock had been let go. Whoever frees the file's pages meanwhile flushes the others only. Found by STALE-HARM; silent without
# the quirk.

scenario "a shared table left before the flush"

expect { STALE-HARM }

quirks { flush-after-unshare }

machine { cpus 3  memory 64M  seed 7 }

mm A { vma 0x40000000..0x80000000 rw hugetlb "/huge/s" shared }
mm B { forked }

task unmap { sync ready  munmap A 0x40000000..0x80000000 }
task cut { sync ready  sleep 5  truncate "/huge/s" 0 }

task user {
    truncate "/huge/s" 0x40000000
    fork A B
    write B 0x40000000 1
    write A 0x40000000 2
    sync cached
    sync go
    sleep 10
    read A 0x40000000
    sync used
}

order {
    user@user.cached < unmap@user.ready
    user@user.cached < cut@user.ready
    unmap@mm.zap < user@user.go
    user@user.used < unmap@mm.window
}

never { deadlock }
