# The callback walks the fences of a buffer in the way that is for whoever holds the reservation. It cannot hold it:
# another may, and wait for this address space.
#: kind irq-or-context
#: year 2022
#: of drm/amdgpu
#: detector lockdep-single-run (lock-required assertion) + lifetime oracle

scenario "fences walked without the reservation"

expect { LD-MISUSE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "iterates-unreserved" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task cs { gpu0.submit 0x12000..0x13000 }
task unmap { munmap A 0x12000..0x13000 }
