# The deadlock of the thread: the object mutex is held around an allocation, and taken in the callback that the
# allocation's own reclaim can lead to. Nothing is reclaimed in this run.

scenario "allocation under a mutex that the callback takes"

expect { LD-CIRCULAR }

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }

# The object is there when the munmap comes; otherwise there is nothing to call back about.
order { ioctl@gpu0.get_pages < unmap@user.go }
