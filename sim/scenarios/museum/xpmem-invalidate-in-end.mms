# The subscriber takes its translations away in the end callback only. Pages that went within the bracket may have been
# freed and used again by then.
#: kind wrong-order
#: year 2017
#: of xpmem (out-of-tree)
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000

scenario "translations taken away in the end callback"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : list(A) {
    mutex lock
    on start(range) { with lock { } } #-
    on end(range) { with lock { zap range } } #-
    #+ on start(range) { with lock { zap range } }
    #+ on end(range) { with lock { } }
}

task remote {
    gpu0.map 0x12000..0x13000
    sync attached
    gpu0.read 0x12000
}
task unmap { sync go  munmap A 0x12000..0x13000 }

order { remote@user.attached < unmap@user.go }
