# Allocations under the lock are GFP_NOFS: reclaim may still unmap anonymous pages, and call back.

scenario "a GFP_NOFS allocation under a mutex that the callback takes"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
    op bind { with vm_lock { alloc 1 GFP_NOFS } }
}

task ioctl { toy.bind }
task unmap { munmap A 0x10000..0x12000 }
