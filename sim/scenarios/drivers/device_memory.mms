# The kernel's test driver for device memory: pages move to the device and come back when a CPU touches them, and are taken to
# itself. Silent under every schedule.

scenario "device_memory: pages move to the device and back under CPU accesses"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : device_memory(A, 0x10000..0x20000)

task dev {
    gpu0.read 0x10000..0x14000
    gpu0.migrate_to_dev 0x10000..0x14000
}
task cpu { write A 0x11000  read A 0x12000 }
task unmap { munmap A 0x15000..0x16000 }

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.invalidate >= 1
    blocked_tasks == 0
}
