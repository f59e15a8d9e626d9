# One driver, two processes. The callback of the one takes &vm->lock; in the other, a page is reclaimed under &vm->lock
# that happens not to be mirrored. Were it mirrored, the task would wait for itself.

scenario "callback seen in one process, the inverted order in another"

expect { LD-CIRCULAR }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }
mm B { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device a : interval(A, 0x10000..0x20000) {
    mutex vm_lock class "&vm->lock"
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
}
device b : interval(B, 0x30000..0x40000) {
    mutex vm_lock class "&vm->lock"
    on invalidate(range) { if blockable { with vm_lock { set_seq  zap range } } else { refuse } }
}

task one { munmap A 0x10000..0x12000 }
task two { with b.vm_lock { reclaim B 0x10000..0x11000 } }
