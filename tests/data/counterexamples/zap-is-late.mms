# interval_mirror late-zap STALE
scenario "zap is late"
machine {
    memory 16M
    swap 4M
    seed 5
}
mm A {
    vma 0x10000..0x11000 rw anon
    brk 0x1c000
}
device gpu0 : interval_mirror(A, 0x10000..0x1c000)
task t0 {
    gpu0.write 0x1a000
}
task t1 {
    mmap A 0x14000..0x1b000 rw anon
    munmap A 0x10000..0x1b000
}
