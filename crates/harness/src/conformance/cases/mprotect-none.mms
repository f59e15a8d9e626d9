#: errors EFAULT
#: runs 20

scenario "pages that become inaccessible are not read by the device, until they are accessible again"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x14000
    mprotect A 0x11000..0x13000 none
    gpu0.read 0x11000
    mprotect A 0x11000..0x13000 rw
    gpu0.read 0x11000
    unregister gpu0
    exit A
}
