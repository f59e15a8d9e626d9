# An ioctl holds struct_mutex and copies from user memory. The copy faults, takes mmap_lock, and enters the driver's own
# fault handler, which takes struct_mutex.
#: kind lock-recursion
#: year 2010
#: of drm/i915
#: detector lockdep-single-run

scenario "user memory copied under the mutex of the fault handler"

expect { LD-RECURSIVE, LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval(A, 0x10000..0x20000) {
    mutex struct_mutex class "&dev->struct_mutex"
    rwsem mmap_lock class "&mm->mmap_lock"
    op gem_fault { with read mmap_lock { with struct_mutex { } } }
    op pread { with struct_mutex { with read mmap_lock { with struct_mutex { } } } } #-
    #+ op pread { with read mmap_lock { with struct_mutex { } }  with struct_mutex { } }
}

task ioctl { gpu0.pread }
task fault { gpu0.gem_fault }
