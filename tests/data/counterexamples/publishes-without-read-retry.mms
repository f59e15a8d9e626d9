# interval_mirror skip-retry SEQ
scenario "publishes without read retry"
machine {
    memory 16M
    swap 4M
    seed 5
}
mm A {
    vma 0x10000..0x11000 rw anon
    brk 0x1c000
}
device gpu0 : interval_mirror(A, 0x10000..0x16000)
task t0 {
    gpu0.read 0x10000
}
