# A bind looks pages up and writes entries after it let the notifier lock go. An invalidation in between has been and
# gone.
#: kind seq-retry
#: year 2023
#: of drm/xe
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000
#: because the GPU uses a binding through commands that ask once more; what is broken is the publication, and its rule names the lock that was missing

scenario "entries written without the notifier lock"

expect { SEQ, STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000) { mutant "write-entries-unlocked" } #-
#+ device gpu0 : xe_userptr(A, 0x10000..0x20000)

task bind { gpu0.bind 0x12000..0x13000  gpu0.exec 0x12000..0x13000 }
task unmap { munmap A 0x12000..0x13000 }
