# The twin of notifier-under-lock-nofs.mms: an allocation that must not wait never reclaims.

scenario "a GFP_NOWAIT allocation under the lock (correct)"

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
    op bind { with vm_lock { alloc 1 GFP_NOWAIT } }
}

task ioctl { toy.bind }
task unmap { munmap A 0x10000..0x12000 }
