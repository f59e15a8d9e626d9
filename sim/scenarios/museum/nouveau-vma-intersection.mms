# A range that a process wants in the GPU's memory begins before its mapping. Moved from where it was asked to, nothing moves:
# the start lies in no mapping.
#: kind range-math
#: year 2020
#: of drm/nouveau SVM
#: detector other (input validation)
#: because what was to move did not: the page says where it is

scenario "a range that begins in a hole"

expect { CHECK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A { vma 0x12000..0x50000 rw anon  touch 0x12000..0x14000 }

device gpu0 : nouveau_svm(A, 0x10000..0x20000) { mutant "binds-from-hole" } #-
#+ device gpu0 : nouveau_svm(A, 0x10000..0x20000)

task user {
    gpu0.write 0x12000 1
    gpu0.bind 0x10000..0x14000
    check_pages A 0x12000..0x14000 is PAGE_IS_SWAPPED
    gpu0.read 0x12000
}

never { deadlock, stale }
