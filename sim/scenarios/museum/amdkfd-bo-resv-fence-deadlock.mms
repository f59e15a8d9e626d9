# A callback waits for the fence of a command, under mmap_lock. What has to be done before the fence is signalled takes
# mmap_lock. With the reservation, which faults take under mmap_lock, that makes three parties.
#: kind dma-fence
#: year 2021
#: of drm/amdkfd
#: detector lockdep-single-run

scenario "a fence whose signaller waits for mmap_lock"

expect { LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "mmap-lock-in-signalling" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task cs { gpu0.submit 0x12000..0x13000 }
task protect { mprotect A 0x13000..0x14000 r }
