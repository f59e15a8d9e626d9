# Linux before 6c8e2a256915 (2022): reclaim asked of a lazily freed page (MADV_FREE) only whether a CPU had written it since. What
# a device wrote, which no entry tells of, was dropped with the page. Found by COH; silent without the quirk.

scenario "a lazily freed page is dropped with what a device wrote to it"

expect { COH }

quirks { restore-lazyfree }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device dma : list(A) {
    op use(range) { pin range  map range  unpin range }
    on start(range) { zap range }
}

# Newer than the device, so called first: reclaim has chosen the page by then, and the device has not been told.
device ear : list(A) { on start(range) { sync told  sync go } }

task user {
    write A 0x10000 1
    madvise A 0x10000..0x11000 MADV_FREE
    dma.use 0x10000..0x11000
    sync ready
    sync write
    dma.write 0x10000 7
    sync written
    sync look
    read A 0x10000
}

task mem {
    sync start
    reclaim A 0x10000..0x11000
    sync done
}

order {
    user@user.ready < mem@user.start
    mem@user.told < user@user.write
    user@user.written < mem@user.go
    mem@user.done < user@user.look
}

never { deadlock }
