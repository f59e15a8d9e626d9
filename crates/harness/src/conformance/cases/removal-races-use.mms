#: errors EFAULT ENODEV EBUSY
#: runs 600

scenario "the device is removed while another task maps and accesses through it"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x12000
    gpu0.read 0x10000
    gpu0.map_write 0x12000..0x14000
    gpu0.write 0x12000
    sync used
}
task remover {
    unregister gpu0
    sync removed
}
task close {
    sync begin
    munmap A 0x10000..0x14000
    exit A
}

order {
    dev@user.used < close@user.begin
    remover@user.removed < close@user.begin
}
