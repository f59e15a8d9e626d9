# Compaction, direct reclaim and munmap against the same page, which a device mirrors and uses all the while. Each of the
# three takes the page from under the device in its own way: to another frame, to swap, for good. Silent under every
# schedule; each mutant of the mirror is found.

scenario "compaction, reclaim and munmap of a mirrored page"

machine { cpus 2  memory 16M  swap 4M  seed 7  kswapd on }

mm A {
    vma 0x10000..0x14000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x14000)

task ioctl {
    gpu0.write 0x10000 1
    gpu0.read 0x10000
    gpu0.map 0x10000..0x12000
    gpu0.read 0x10000
    gpu0.write 0x11000 2
    gpu0.worker
}
task user {
    write A 0x11000 3
    read A 0x11000
    write A 0x11000 4
}
task compact { compact A 0x10000..0x12000 }
task pressure { reclaim A 0x10000..0x12000  alloc 1 GFP_KERNEL }
task unmap { munmap A 0x10000..0x11000 }

never { deadlock, stale, incoherent, unsequenced, inversion }
