# The walk lets mmap_lock go when it must start over, and its caller, who cannot tell, does so again.
#: kind unpaired
#: year 2019
#: of drm/nouveau SVM
#: detector lockdep-single-run

scenario "mmap_lock let go twice"

expect { LD-UNLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    vma 0x400000..0x410000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : nouveau_svm(A, 0x10000..0x410000) { mutant "unlocks-after-retry" } #-
#+ device gpu0 : nouveau_svm(A, 0x10000..0x410000)

task gpu { gpu0.read 0x400000 }
task mem {
    sync go
    madvise A 0x400000..0x401000 MADV_DONTNEED
    sync done
}

order { gpu@notifier.read_begin < mem@user.go  mem@user.done < gpu@alloc }
