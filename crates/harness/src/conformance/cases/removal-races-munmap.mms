#: runs 600
#: without map

scenario "the device is removed while a munmap of its pages is under way"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task dev {
    gpu0.map 0x10000..0x14000
    sync mapped
    unregister gpu0
    sync removed
}
task user {
    sync go
    munmap A 0x10000..0x12000
    munmap A 0x12000..0x14000
    sync unmapped
}
task close {
    sync begin
    exit A
}

order {
    dev@user.mapped < user@user.go
    dev@user.removed < close@user.begin
    user@user.unmapped < close@user.begin
}
