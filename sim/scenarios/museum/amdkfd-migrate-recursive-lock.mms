# The driver moves a range to the GPU's memory, under its migration mutex, and walks it for writing. A page that is
# there faults back through the driver's own handler, which takes the mutex.
#: kind lock-recursion
#: year 2021
#: of drm/amdkfd SVM
#: detector lockdep-single-run

scenario "a fault that needs the lock of who causes it"

expect { LD-RECURSIVE, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "migrate-recursively" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task prefetch { gpu0.prefetch 0x12000..0x14000 }
