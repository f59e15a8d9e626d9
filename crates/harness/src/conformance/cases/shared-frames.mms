#: errors EFAULT EBUSY
#: runs 300

scenario "two processes share the pages that their devices map, and one of them goes"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x14000 rw file "data" shared
    touch 0x10000..0x14000
}
mm B {
    vma 0x10000..0x14000 rw file "data" shared
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x14000)
device gpu1 : interval_mirror(B, 0x10000..0x14000)

task one {
    gpu0.map_write 0x10000..0x12000
    gpu0.write 0x10000 4
    munmap A 0x10000..0x12000
    gpu0.read 0x10000
    sync one_done
}
task two {
    gpu1.map 0x10000..0x12000
    gpu1.read 0x10000
    read B 0x10000
    sync two_done
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
}
