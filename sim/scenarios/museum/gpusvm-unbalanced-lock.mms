# An error before the notifier lock is taken leads to a label that lets it go.
#: kind unpaired
#: year 2026
#: of drm/gpusvm
#: detector lockdep-single-run

scenario "a lock let go on a path that never took it"

expect { LD-UNLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000) { mutant "unlock-on-error" } #-
#+ device gpu0 : xe_userptr(A, 0x10000..0x20000)

task bind {
    munmap A 0x12000..0x13000
    gpu0.bind 0x12000..0x13000
}
