# The twin of end-callback.mms: allocates first.

scenario "an end callback whose lock is a leaf"

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : list(A) {
    mutex stats_lock
    on start(range) { zap range }
    on end(range) { with stats_lock { } }
    op account { alloc 1 GFP_KERNEL  with stats_lock { } }
}

task ioctl { toy.account }
task unmap { munmap A 0x10000..0x12000 }
