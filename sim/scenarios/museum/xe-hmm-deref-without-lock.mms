# What a page walk gives has no reference. The driver maps it for DMA before it takes the notifier lock and looks
# whether the pages are still those.
#: kind lifetime-uaf
#: year 2025
#: of drm/xe
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000

scenario "pages used before the notifier lock is taken"

expect { STALE, SEQ, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000) { mutant "maps-unlocked" } #-
#+ device gpu0 : xe_userptr(A, 0x10000..0x20000)

task bind { gpu0.bind 0x12000..0x13000 }
task unmap { munmap A 0x12000..0x13000 }
