# At boot the driver takes its locks once to teach the validator their order, and enters fs_reclaim under the notifier
# lock. Reclaim calls the notifier, which takes that lock: one page reclaimed and the cycle is reported, though nobody
# allocates under the lock.
#: kind fs-reclaim
#: year 2026
#: of drm/amdgpu
#: detector lockdep-single-run

scenario "a validator taught an order that no execution has"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "prime-reclaim-under-notifier-lock" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task pageout { madvise A 0x12000..0x13000 MADV_PAGEOUT }
