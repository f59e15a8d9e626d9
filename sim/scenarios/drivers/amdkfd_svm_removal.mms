# A driver that is removed while it moves pages to the GPU's memory keeps no buffer object: who comes after its subscription ended
# gets ENODEV. Silent under every schedule.
scenario "the device is removed while it moves pages to its memory"

machine { memory 16M  swap 4M  seed 1  max_steps 100000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x50000)

task dev {
    gpu0.prefetch 0x10000..0x12000
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
