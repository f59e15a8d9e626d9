# read_begin waits until the invalidation that is under way is over, and the invalidation waits for the lock. In this run
# no invalidation is under way.

scenario "read_begin under a mutex that the callback takes"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
    op begin { with vm_lock { read_begin } }
}

task ioctl { toy.begin  sync done }
task unmap { sync go  munmap A 0x10000..0x12000 }

order { ioctl@user.done < unmap@user.go }
