# An invalidation and a migration back both find the range's buffer object and give their reference up. There was one.
#: kind lifetime-uaf
#: year 2023
#: of drm/amdkfd SVM
#: detector refcount/lifetime oracle + exploration
#: runs 5000
#: strategy pct

scenario "a buffer object given up twice"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "unref-unlocked" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task gpu { gpu0.prefetch 0x12000..0x14000 }
task one { madvise A 0x12000..0x13000 MADV_DONTNEED }
task two { madvise A 0x13000..0x14000 MADV_DONTNEED }
