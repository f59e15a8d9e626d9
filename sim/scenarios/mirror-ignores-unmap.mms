# A driver that misses one invalidation. The device reads through a translation that was revoked (STALE), and the frame
# behind it is free by then (STALE-HARM). `--set gpu0.mutant=none` makes it silent: the read faults.

scenario "a mirror that ignores one invalidation, and a munmap"

expect { STALE, STALE-HARM }

machine { memory 16M  swap 4M  seed 1 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant "ignore-one-invalidation" }

task dev {
    gpu0.map_write 0x10000..0x12000
    sync mapped
    sync again
    gpu0.read 0x10000
}
task unmap {
    sync go
    munmap A 0x10000..0x11000
    sync done
}

order {
    dev@user.mapped < unmap@user.go
    unmap@user.done < dev@user.again
}

never { unordered, deadlock }
