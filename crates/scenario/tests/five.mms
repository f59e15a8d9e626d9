scenario "five mistakes"
machine { cpus 2  memory 64MB }
mm A { vma 0x10001..0x50000 rw anon }
device toy : interval(A, 0x10000..0x50000) {
    mutex vm_lock
    on invalidate(range) { with vm_lok { zap range } }
}
task unmap {
    mumap A 0x10000..0x12000
    munmap A
}
order { unmap@notifier.range_strat < unmap@toy.vm_lock }
