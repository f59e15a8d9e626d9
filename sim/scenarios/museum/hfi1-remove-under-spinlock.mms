# Cleanup walks the cache under its spinlock and unpins each buffer there, which may sleep.
#: kind irq-or-context
#: year 2016
#: of RDMA/hfi1
#: detector lockdep-single-run

scenario "buffers unpinned under a spinlock"

expect { LD-WAIT, CTX } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : hfi1_cache(A, 0x10000..0x20000) { mutant "remove-under-spinlock" } #-
#+ device gpu0 : hfi1_cache(A, 0x10000..0x20000)

task close {
    gpu0.send 0x12000..0x14000
    unregister gpu0
}
