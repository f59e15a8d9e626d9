# i915_userptr 2019 recursive
scenario "allocates under the object lock"
machine {
    memory 16M
    swap 4M
    seed 5
}
mm A {
    vma 0x10000..0x17000 rw anon
    brk 0x1c000
}
device gpu0 : i915_userptr(A, 0x10000..0x11000)
task t0 {
    gpu0.get_pages 0x10000..0x11000
}
