# The submission lets the notifier lock go before the table and the fence are updated. An invalidation in between sees
# nothing to wait for, and what is written afterwards is of pages that are gone.
#: kind seq-retry
#: year 2018
#: of drm/amdgpu
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000

scenario "a page table that is updated after the notifier lock was let go"

expect { STALE, SEQ, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "unlock-before-update" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task cs { gpu0.submit 0x12000..0x13000 }
task unmap { munmap A 0x12000..0x13000 }
