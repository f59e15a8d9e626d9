#: errors EFAULT
#: runs 20

scenario "a part of what the device may have as one entry of 2 MiB is invalidated, in every way: none of it stays that is a part"

machine { memory 64M  swap 4M  seed 1  max_steps 100000 }

mm A { vma 0x400000..0xa00000 rw anon }

device gpu0 : interval_mirror(A, 0x400000..0xa00000)

task user {
    madvise A 0x400000..0xa00000 MADV_HUGEPAGE
    write A 0x400000 5
    write A 0x600000 5
    write A 0x800000 5
    gpu0.map_write 0x400000..0x402000
    gpu0.map_write 0x600000..0x602000
    gpu0.map_write 0x800000..0x802000
    gpu0.write 0x401000 6
    gpu0.write 0x601000 6
    gpu0.write 0x801000 6
    notify A 0x401000..0x402000 { }
    gpu0.read 0x401000
    gpu0.map 0x400000..0x402000
    mprotect A 0x400000..0x401000 r
    gpu0.read 0x401000
    madvise A 0x601000..0x602000 MADV_DONTNEED
    gpu0.read 0x601000
    munmap A 0x9ff000..0xa00000
    gpu0.read 0x801000
    gpu0.read 0x9ff000
    unregister gpu0
    exit A
}
