# interval_mirror ignore-one-invalidation SEQ
scenario "one invalidation ignored"
machine {
    memory 16M
    swap 4M
    seed 5
}
mm A {
    vma 0x10000..0x11000 rw anon
    brk 0x1c000
}
device gpu0 : interval_mirror(A, 0x10000..0x1d000)
task t0 {
    gpu0.map 0x10000..0x11000
}
task t1 {
    mmap A 0x10000..0x11000 rw anon
}
