# The region is addressed by the device from another base than by the process. The invalidation takes one for the other
# and clears the translation of the next page.
#: kind range-math
#: year 2020
#: of RDMA/mlx5 ODP
#: detector ordering-oracle-single-run
#: because the driver clears an entry, only not that of the page announced; no order is broken, and what shows it is the device that uses the page it should have lost

scenario "a page index computed from the wrong base"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_odp(A, 0x10000..0x20000) { mutant "zap-by-iova" } #-
#+ device gpu0 : mlx5_odp(A, 0x10000..0x20000)

task all {
    gpu0.write 0x12000 1
    munmap A 0x12000..0x13000
    gpu0.read 0x12000
}
