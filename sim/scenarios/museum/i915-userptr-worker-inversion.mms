# Cleanup holds a lock and flushes the work queue, whose work takes the lock. Waiting for a work is waiting for all that
# it takes.
#: kind lock-cycle
#: year 2017
#: of drm/i915 userptr
#: detector lockdep-single-run

scenario "a worker waited for under a lock that it takes"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "flush-under-svms-lock" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task all {
    gpu0.map 0x10000..0x12000
    mprotect A 0x11000..0x12000 r
    gpu0.wait_restored
    unregister gpu0
}
