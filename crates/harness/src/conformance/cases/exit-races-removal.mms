#: runs 300
#: without map

scenario "the process exits while the device is removed"

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
}
task user {
    sync go
    exit A
}

order {
    dev@user.mapped < user@user.go
}
