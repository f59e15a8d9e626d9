# The command that updates the translation table is allocated with GFP_KERNEL under umem_mutex. The allocation may
# reclaim, reclaim calls the notifier, and the notifier takes umem_mutex.
#: kind fs-reclaim
#: year 2025
#: of RDMA/mlx5 ODP
#: detector lockdep-single-run

scenario "an allocation under the mutex that the callback takes"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_odp(A, 0x10000..0x20000) { mutant "alloc-under-umem-mutex" } #-
#+ device gpu0 : mlx5_odp(A, 0x10000..0x20000)

task fault { gpu0.write 0x12000 1 }
task unmap { munmap A 0x13000..0x14000 }
