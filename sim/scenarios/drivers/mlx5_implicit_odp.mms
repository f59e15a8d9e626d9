# RDMA on-demand paging of a whole address space: children come with page faults and go when they are idle. Silent under
# every schedule; its mutants, and what finds each, are in docs/drivers/mlx5_implicit_odp.md.

scenario "mlx5 implicit ODP: children made and destroyed"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : mlx5_implicit_odp(A, 0x10000..0x20000)

task dev {
    gpu0.write 0x12000 1
    gpu0.write 0x14000 1
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.read 0x12000
    gpu0.write 0x14000 2
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 2
    acquired "(work_completion)(&mr->odp_destroy.work)" >= 1
    no edge "&umem_odp->umem_mutex" -> "fs_reclaim"
    blocked_tasks == 0
}
