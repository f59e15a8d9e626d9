# The driver of 2019 allocates while it holds the object's mutex, and its callback takes that mutex. The allocation may
# reclaim a page of the very object.
#: kind lock-recursion
#: year 2019
#: of drm/i915 userptr
#: detector lockdep-single-run

scenario "an allocation under the object mutex"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" } #-
#+ device gpu0 : i915_userptr(A, 0x10000..0x20000)

task ioctl { gpu0.get_pages 0x10000..0x12000 }
task unmap { sync go  munmap A 0x10000..0x11000 }
order { ioctl@gpu0.get_pages < unmap@user.go }
