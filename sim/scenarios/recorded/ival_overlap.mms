# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, ival_overlap().
scenario "intervals that overlap, and some that only touch"
mm A {
    vma 0x10000000000..0x10000020000 rw anon
    touch 0x10000000000..0x10000020000
    vma 0x400000..0x401000 rw anon
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000008000)
device iv1 : interval_recorder(A, 0x10000004000..0x1000000c000)
device iv2 : interval_recorder(A, 0x10000008000..0x10000010000)
device iv3 : interval_recorder(A, 0x10000010000..0x10000014000)
task main {
    register rec
    register iv0
    register iv1
    register iv2
    register iv3
    iv0.read_begin
    iv2.read_begin
    mark "madvise(0,4,DONTNEED): iv0=[0,8) iv1=[4,12) iv2=[8,16) iv3=[16,20)"
    madvise A 0x10000000000..0x10000004000 MADV_DONTNEED
    iv0.read_retry
    iv2.read_retry
    iv0.read_begin
    iv0.read_retry
    mark "madvise(6,2,DONTNEED)"
    madvise A 0x10000006000..0x10000008000 MADV_DONTNEED
    mark "madvise(8,1,DONTNEED) adjacent to iv0"
    madvise A 0x10000008000..0x10000009000 MADV_DONTNEED
    mark "madvise(15,2,DONTNEED) iv2 and iv3"
    madvise A 0x1000000f000..0x10000011000 MADV_DONTNEED
    mark "madvise(20,4,DONTNEED) adjacent to iv3, none overlaps"
    madvise A 0x10000014000..0x10000018000 MADV_DONTNEED
    mark "madvise(24,4,DONTNEED) none"
    madvise A 0x10000018000..0x1000001c000 MADV_DONTNEED
    iv2.read_retry
    unregister iv1
    mark "munmap(0,32) all"
    munmap A 0x10000000000..0x10000020000
    iv3.read_begin
    unregister iv0
    mark "exit"
    exit A
}
