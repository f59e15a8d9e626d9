# A mutex may sleep; under a spinlock nothing may. The validator knows from the kinds of the locks alone, the oracle from
# what the task does.

scenario "a mutex under a spinlock"

expect { LD-WAIT, CTX }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device toy : interval(A, 0x10000..0x50000) {
    spinlock table_lock
    mutex vm_lock
    on invalidate(range) { set_seq  zap range }
    op bind { with table_lock { with vm_lock { } } }
}

task ioctl { toy.bind }
