#: errors EFAULT EBUSY
#: runs 20

scenario "an invalidation that must not sleep, as the OOM reaper's: taken without waiting, or refused"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

# Or a flaw of the kernel would be taken for one of the driver (docs/flaws/refused-start.md).
behaviours { undo-refused-start }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x14000
    notify nonblock A 0x11000..0x12000 { }
    gpu0.read 0x11000
    notify nonblock A 0x10000..0x50000 { }
    gpu0.read 0x10000
    unregister gpu0
    exit A
}
