# The lock is taken in the end callback only. Its user allocates under it.

scenario "allocation under a mutex that the end callback takes"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : list(A) {
    mutex stats_lock
    on start(range) { zap range }
    on end(range) { with stats_lock { } }
    op account { with stats_lock { alloc 1 GFP_KERNEL } }
}

task ioctl { toy.account }
task unmap { munmap A 0x10000..0x12000 }
