#: errors EFAULT EBUSY
#: runs 300

scenario "two devices of the driver, each for a process of its own, at the same addresses"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}
mm B {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)
device gpu1 : interval_mirror(B, 0x10000..0x50000)

task one {
    gpu0.map 0x10000..0x14000
    gpu0.read 0x12000
    munmap A 0x12000..0x13000
    gpu0.read 0x12000
    sync one_done
}
task two {
    gpu1.map_write 0x10000..0x14000
    gpu1.write 0x12000 3
    munmap B 0x11000..0x12000
    gpu1.read 0x12000
    sync two_done
}
task mem {
    reclaim 8 pages
    sync mem_done
}
task close {
    sync go
    unregister gpu0
    unregister gpu1
    exit A
    exit B
}

order {
    one@user.one_done < close@user.go
    two@user.two_done < close@user.go
    mem@user.mem_done < close@user.go
}
