# A bug of the memory manager, on purpose: a flush of the TLBs does not reach the other CPU, as if the interrupt that asks for it
# got lost. That CPU goes on writing to a page that was unmapped (STALE: `munmap` has returned) and freed (STALE-HARM).
# `--set quirks=none` makes it silent: the write faults.

scenario "a flush that does not arrive"

expect { STALE-HARM, STALE }

machine { cpus 2  memory 16M  swap 4M  seed 1 }

quirks { flush-other-cpus }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

task user {
    write A 0x10000 5
    sync cached
    sync again
    write A 0x10000 6
}
task unmap {
    sync go
    munmap A 0x10000..0x11000
    sync done
}

order {
    user@user.cached < unmap@user.go
    unmap@user.done < user@user.again
}

never { deadlock }
