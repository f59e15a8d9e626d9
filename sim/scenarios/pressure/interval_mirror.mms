# interval_mirror under random pressure: little memory, reclaim in the background, another process that wants all of it, and
# everything that invalidates, in any order. Made to be run many times: `shootdown notifier pressure sim/scenarios/pressure`
# prints in how many runs the driver was told what. Silent under every schedule.

scenario "interval_mirror under pressure"

machine { cpus 2  memory 512K  swap 1M  seed 7  kswapd on }

mm B { forked }
mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}
mm H { vma 0x10000..0x90000 rw anon }

device gpu0 : interval_mirror(A, 0x10000..0x20000)
device gpu1 : interval_mirror(A, 0x14000..0x18000)
device priv : device_memory(A, 0x18000..0x1c000)

task dev {
    gpu0.map_write 0x10000..0x14000
    gpu0.write 0x14000 1
}
task again {
    gpu0.read 0x12000
    gpu0.write 0x14000 2
}
task unmap { munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon }
task protect { mprotect A 0x14000..0x16000 r  mprotect A 0x14000..0x16000 rw }
task mem { reclaim A 0x14000..0x18000  compact A 0x10000..0x18000 }
task process { fork A B  write A 0x15000  madvise A 0x16000..0x18000 MADV_FREE  exit B }
task dirty { clear_refs A 4  write A 0x11000 }
task hog { touch H 0x10000..0x60000 }
task move { priv.migrate_to_dev 0x18000..0x1a000  write A 0x19000  priv.exclusive 0x1a000..0x1c000  write A 0x1b000 }
task all { sleep 40  compact_memory }
task worker { sleep 60  gpu0.worker }
task turn { sleep 50  gpu0.write 0x12000 3  gpu0.write 0x13000 3  munmap A 0x12000..0x14000  mmap A 0x12000..0x14000 rw anon  touch A 0x12000..0x14000  gpu0.read 0x12000  gpu0.read 0x13000 }
task late { sleep 100  gpu0.read 0x12000  gpu0.read 0x13000 }
task last { sleep 100  compact A 0x12000..0x14000  compact A 0x12000..0x14000 }
task move_on { sleep 80  compact A 0x12000..0x14000  munmap A 0x12000..0x13000 }
task reaper { sleep 100  oom_reap A }
task leave { sleep 100  exit A }
task after { sleep 1500  gpu0.read 0x12000  gpu0.read 0x13000 }
task second { gpu1.map_write 0x14000..0x16000  sleep 80  gpu1.map_write 0x14000..0x16000  unregister gpu1 }
task quit { sleep 3000  unregister priv  unregister gpu0 }

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }
