# Registration takes mmap_lock, under which callbacks are called.

scenario "registration under a mutex that the callback takes"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device first : list(A) {
    mutex vm_lock class "&vm->lock"
    on start(range) { if blockable { with vm_lock { zap range } } else { refuse } }
}
device second : list(A) {
    mutex vm_lock class "&vm->lock"
    on start(range) { if blockable { with vm_lock { zap range } } else { refuse } }
}

task unmap { munmap A 0x10000..0x12000  sync done }
task open { sync go  with second.vm_lock { register second } }

order { unmap@user.done < open@user.go }
