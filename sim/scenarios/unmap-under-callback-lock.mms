# A driver holds the lock that its callback takes around a munmap of its own pages: the callback comes back into it. With the
# munmap outside of the lock it is silent.

scenario "a munmap under the lock that the callback takes"

expect { LD-RECURSIVE, PROG-DEADLOCK }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device toy : interval(A, 0x10000..0x50000) {
    mutex m
    on invalidate(range) {
        with m { set_seq zap range }
    }
}

task user { with toy.m { munmap A 0x10000..0x11000 } }

assert { blocked_tasks == 1 }
