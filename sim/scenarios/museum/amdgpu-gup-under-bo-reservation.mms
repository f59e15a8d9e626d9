# Command submission reserves the buffer and then looks user pages up, under mmap_lock. A CPU's fault on the buffer
# takes the reservation under mmap_lock.
#: kind lock-cycle
#: year 2016
#: of drm/amdgpu
#: detector lockdep-single-run

scenario "user pages looked up under a reservation"

expect { LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { mutant "gup-under-reservation" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000)

task cs { gpu0.submit 0x12000..0x13000 }
task cpu { gpu0.cpu_fault }
task map { mmap A 0x40000..0x41000 rw anon }
