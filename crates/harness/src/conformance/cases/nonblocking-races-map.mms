#: errors EFAULT EBUSY
#: runs 400
#: without unmap

scenario "invalidations that must not sleep while the device maps and holds its locks"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

# Or a flaw of the kernel would be taken for one of the driver (docs/flaws/refused-start.md).
behaviours { undo-refused-start }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x12000
    gpu0.map_write 0x12000..0x14000
    gpu0.unmap 0x10000..0x12000
    gpu0.unmap 0x12000..0x14000
    sync dev_done
}
task reaper {
    notify nonblock A 0x10000..0x14000 { }
    notify nonblock A 0x12000..0x13000 { }
    sync reaper_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    dev@user.dev_done < close@user.go
    reaper@user.reaper_done < close@user.go
}
