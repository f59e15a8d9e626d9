# The callback takes a reference to the parent before it looks whether the idle child is destroyed already, and returns
# with it if so. The parent can never go.
#: kind unpaired
#: year 2025
#: of RDMA/mlx5 ODP
#: detector other (refcount balance per callback)
#: runs 5000

scenario "a reference to the parent that nobody gives back"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_implicit_odp(A, 0x10000..0x20000) { mutant "keeps-parent" } #-
#+ device gpu0 : mlx5_implicit_odp(A, 0x10000..0x20000)

task peer {
    gpu0.write 0x12000 1
    madvise A 0x12000..0x13000 MADV_DONTNEED
    unregister gpu0
}
task other { madvise A 0x12000..0x13000 MADV_DONTNEED }
