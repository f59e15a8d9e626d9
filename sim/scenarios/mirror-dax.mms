# A mirror of two pages of a device's memory, which the CPU maps by one entry for the whole GiB. Another page of that GiB is
# given up: the entry goes, and with it what the mirror was told. This one does not listen (STALE), since the call was about a
# page that is not its own; `--set gpu0.mutant=none` makes it silent.

scenario "a mirror of a device's memory, and advice about another page of its GiB"

expect { STALE }

machine { memory 16M  swap 4M  seed 1 }

mm A { vma 0x40000000..0xc0000000 rw dax "pmem0" }

device gpu0 : interval_mirror(A, 0x40010000..0x40012000) { mutant "ignore-one-invalidation" }

task dev {
    write A 0x40010000 7
    gpu0.map_write 0x40010000..0x40012000
    sync mapped
    sync again
    gpu0.read 0x40010000
    gpu0.map_write 0x40010000..0x40012000
    gpu0.read 0x40010000
    gpu0.write 0x40011000 8
    read A 0x40011000
}

task other {
    sync go
    madvise A 0x60000000..0x60001000 MADV_DONTNEED
    sync done
}

order {
    dev@user.mapped < other@user.go
    other@user.done < dev@user.again
}

assert { callbacks gpu0.invalidate == 1 }

never { unordered, deadlock }
