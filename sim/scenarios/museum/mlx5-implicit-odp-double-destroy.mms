# Two invalidations find the same child of an implicit region idle. Each queues its destruction; the second work frees
# what the first has freed.
#: kind lifetime-uaf
#: year 2025
#: of RDMA/mlx5 ODP
#: detector refcount/lifetime oracle + exploration
#: runs 5000

scenario "an idle child destroyed twice"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_implicit_odp(A, 0x10000..0x20000) { mutant "destroys-twice" } #-
#+ device gpu0 : mlx5_implicit_odp(A, 0x10000..0x20000)

task peer { gpu0.write 0x12000 1 }
task one { madvise A 0x12000..0x13000 MADV_DONTNEED }
task two { madvise A 0x12000..0x13000 MADV_DONTNEED }
