# One path holds the driver's mutex and looks user pages up, under mmap_lock. The other comes with mmap_lock held and
# takes the mutex: an mprotect, through the callback.
#: kind lock-cycle
#: year 2013
#: of media vb2
#: detector lockdep-single-run

scenario "user pages looked up under the driver's mutex"

expect { LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : nouveau_svm(A, 0x10000..0x20000) { mutant "fault-under-mutex" } #-
#+ device gpu0 : nouveau_svm(A, 0x10000..0x20000)

task qbuf { gpu0.write 0x12000 1 }
task protect { mprotect A 0x13000..0x14000 r }
