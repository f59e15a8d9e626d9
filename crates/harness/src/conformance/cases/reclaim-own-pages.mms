#: errors EFAULT EBUSY
#: runs 20

scenario "pages that the device maps are reclaimed and swapped out, and come back"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map_write 0x10000..0x14000
    gpu0.write 0x11000 5
    reclaim A 0x10000..0x14000
    gpu0.read 0x11000
    gpu0.map 0x10000..0x12000
    gpu0.read 0x11000
    read A 0x11000
    sync user_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    user@user.user_done < close@user.go
}
