# A bug of the memory manager, on purpose: munmap has freed the page before anybody is told. The device of a correct driver
# then reads a frame that may be another's already. No driver can be blamed, and STALE does not blame one: what is wrong
# is that the entry went without notice (ORD-CLEAR), and what it leads to is STALE-HARM. Without `quirks` the last pin is
# one that nothing can meet, for a page is freed after its range was announced; without both it is silent.

scenario "munmap frees before it announces"

expect { ORD-CLEAR, STALE-HARM }

machine { memory 16M  swap 4M  seed 1 }

quirks { munmap-frees-before-start }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x12000
    sync mapped
    sync again
    gpu0.read 0x10000
    sync used
}
task unmap {
    sync go
    munmap A 0x10000..0x11000
}

# mapped, freed, used, announced.
order {
    dev@user.mapped < unmap@user.go
    unmap@mm.free < dev@user.again
    dev@user.used < unmap@notifier.range_start
}

never { deadlock }
