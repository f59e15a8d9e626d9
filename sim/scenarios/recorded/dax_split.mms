# Not recorded: it takes memory of a device. From reading.
scenario "a GiB of a device's memory is split"
mm A {
    vma 0x10000000000..0x10080000000 rw dax "pmem0"
}
device rec : recorder(A)
task main {
    register rec
    mark "write first touch of both GiB"
    write A 0x10000005000 7
    write A 0x10040000000
    mark "madvise(5,1,DONTNEED)"
    madvise A 0x10000005000..0x10000006000 MADV_DONTNEED
    mark "read 5"
    read A 0x10000005000
    mark "clear_refs=4 soft-dirty"
    clear_refs A 4
    mark "write both again, scan"
    write A 0x10000005000 8
    write A 0x10040000000
    pagemap_scan A 0x10000000000..0x10000008000
    mark "munmap(5,1) is refused"
    munmap A 0x10000005000..0x10000006000
    mark "munmap whole"
    munmap A 0x10040000000..0x10080000000
    mark "exit"
    exit A
}
