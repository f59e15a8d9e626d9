# A bug of the memory manager, on purpose: what is unmapped is freed before the TLBs are flushed. Another CPU, which has used the
# page, writes to it where it was: the frame may be somebody else's by then (STALE-HARM). No driver takes part. Without
# `quirks` the last pin is one that nothing can meet; without both it is silent: the write faults.

scenario "pages are freed before the flush"

expect { STALE-HARM }

machine { cpus 2  memory 16M  swap 4M  seed 1 }

quirks { flush-before-free }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

task user {
    write A 0x10000 5
    sync cached
    sync again
    write A 0x10000 6
    sync used
}
task unmap {
    sync go
    munmap A 0x10000..0x11000
}

# cached, freed, used, flushed.
order {
    user@user.cached < unmap@user.go
    unmap@mm.free < user@user.again
    user@user.used < unmap@mm.flush
}

never { deadlock }
