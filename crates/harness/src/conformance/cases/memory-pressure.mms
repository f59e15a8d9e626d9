#: errors EFAULT EBUSY
#: runs 300

scenario "allocations that may enter reclaim, beside a device that maps the pages reclaimed"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x14000
    gpu0.read 0x12000
    sync dev_done
}
task user {
    alloc 4 GFP_KERNEL
    write A 0x20000
    write A 0x21000
    sync user_done
}
task mem {
    reclaim 8 pages
    sync mem_done
}
task close {
    sync go
    unregister gpu0
    exit A
}

order {
    dev@user.dev_done < close@user.go
    user@user.user_done < close@user.go
    mem@user.mem_done < close@user.go
}
