#: errors EFAULT
#: runs 20

scenario "the heap shrinks below what the device maps"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    brk 0x80000
}

device gpu0 : interval_mirror(A, 0x80000..0x90000)

task user {
    brk A 0x84000
    touch A 0x80000..0x84000
    gpu0.map 0x80000..0x84000
    brk A 0x81000
    gpu0.read 0x80000
    gpu0.read 0x82000
    unregister gpu0
    exit A
}
