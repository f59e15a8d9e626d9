#: errors EFAULT
#: runs 20

scenario "a huge page loses some of its small pages, and then the rest"

machine { memory 64M  swap 4M  seed 1  max_steps 100000 }

mm A { vma 0x400000..0x800000 rw anon }

device gpu0 : interval_mirror(A, 0x400000..0x800000)

task user {
    madvise A 0x400000..0x600000 MADV_HUGEPAGE
    write A 0x400000 5
    gpu0.map_write 0x400000..0x404000
    gpu0.write 0x401000 6
    munmap A 0x402000..0x403000
    gpu0.read 0x402000
    gpu0.map_write 0x400000..0x402000
    gpu0.read 0x401000
    read A 0x401000
    mprotect A 0x400000..0x401000 r
    gpu0.read 0x401000
    munmap A 0x400000..0x600000
    gpu0.read 0x401000
    unregister gpu0
    exit A
}
