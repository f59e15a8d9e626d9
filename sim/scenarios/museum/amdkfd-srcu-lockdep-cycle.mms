# The restore worker takes mmap_lock and the locks of the process; a callback, inside of the SRCU section of the
# notifier and often under mmap_lock, waits for it.
#: kind lock-cycle
#: year 2023
#: of drm/amdkfd SVM
#: detector lockdep-single-run

scenario "a callback that waits for a worker"

expect { LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "flush-in-callback" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task map { gpu0.map 0x10000..0x12000 }
task protect { mprotect A 0x11000..0x12000 r }
