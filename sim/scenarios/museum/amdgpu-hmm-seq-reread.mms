# The look-up goes chunk by chunk and samples the sequence anew for each. An invalidation of the first chunk that began
# and ended between two of them is forgotten.
#: kind seq-retry
#: year 2026
#: of drm/amdgpu
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000

scenario "a sequence that is read again for each chunk"

expect { STALE, SEQ, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "reread-seq" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task cs { gpu0.submit 0x12000..0x14000 }
task unmap { munmap A 0x12000..0x13000 }
