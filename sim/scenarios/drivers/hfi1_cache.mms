# A cache of pinned buffers. An invalidation takes a buffer out of the cache, a worker unpins it, and the next send
# pins what the process has there now. Silent under every schedule; its mutants, and what finds each, are in
# docs/drivers/hfi1_cache.md.

scenario "hfi1: a cache of pinned buffers, and pages that go"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : hfi1_cache(A, 0x10000..0x20000)

task dev {
    gpu0.send 0x11000..0x13000
    gpu0.receive 0x14000..0x16000 1
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task again {
    gpu0.drain
    gpu0.send 0x11000..0x13000
    gpu0.receive 0x14000..0x16000 2
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.start >= 2
    acquired "(work_completion)(&handler->del_work)" >= 1
    blocked_tasks == 0
}
