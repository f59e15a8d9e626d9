# Silent under every setting of the annotations: the corrected driver allocates before it takes the lock that its
# callback takes, and publishes only after read_retry has passed under that lock.

scenario "userptr as corrected: munmap, reclaim and the ioctl"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x32000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000)

# First, since a page that the ioctl has pinned already cannot be had.
task pressure { reclaim A 0x14000..0x15000 }
task ioctl { gpu0.get_pages 0x12000..0x20000 }
task unmap { munmap A 0x10000..0x12000 }

never { deadlock, stale, inversion }

assert {
    callbacks gpu0.invalidate >= 1
    blocked_tasks == 0
}
