# Removal waits until the invalidation that is under way is over. In this run none is.

scenario "removal of a subscription under a mutex that the callback takes"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
}

task close { sync go  with toy.vm_lock { unregister toy } }
task unmap { munmap A 0x10000..0x12000  sync done }

order { unmap@user.done < close@user.go }
