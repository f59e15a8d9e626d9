#: errors EFAULT EBUSY
#: runs 200

scenario "a huge page is split while the device uses its small pages"

machine { memory 64M  swap 4M  seed 1  max_steps 100000 }

mm A { vma 0x400000..0x800000 rw anon }

device gpu0 : interval_mirror(A, 0x400000..0x800000)

task proc {
    madvise A 0x400000..0x600000 MADV_HUGEPAGE
    write A 0x400000 5
    sync there
    munmap A 0x402000..0x403000
    write A 0x401000 6
    sync proc_done
}
task dev {
    sync go
    gpu0.map_write 0x400000..0x402000
    gpu0.write 0x400000 7
    gpu0.read 0x401000
    gpu0.map 0x401000..0x404000
    sync dev_done
}
task close {
    sync last
    unregister gpu0
    exit A
}

order {
    proc@user.there < dev@user.go
    dev@user.dev_done < close@user.last
    proc@user.proc_done < close@user.last
}
