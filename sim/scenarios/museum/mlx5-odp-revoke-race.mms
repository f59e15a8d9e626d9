# Deregistration revokes the device's key outside of umem_mutex. A callback then sends a command that names it, and the
# device's queue stops with an error.
#: kind seq-retry
#: year 2025
#: of RDMA/mlx5 ODP
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000
#: because no translation is used: the object that the device no longer knows is the key, and that it is used after it was freed is LIFE

scenario "a command about a key that is revoked"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : mlx5_odp(A, 0x10000..0x20000) { mutant "revoke-unlocked" } #-
#+ device gpu0 : mlx5_odp(A, 0x10000..0x20000)

task dereg { gpu0.write 0x12000 1  unregister gpu0 }
task unmap { munmap A 0x12000..0x13000 }
