# The twin of thread-deadlock.mms: allocates before it takes the lock, publishes after read_retry has passed under it.

scenario "the same driver, corrected"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000)

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }

order { ioctl@gpu0.get_pages < unmap@user.go }
