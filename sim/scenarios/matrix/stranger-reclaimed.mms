# As thread-deadlock.mms, and reclaim unmaps a page of a process that nobody subscribed to: what ties the two chains
# together without priming, if brackets of such a process enter the map too.

scenario "the same, while a stranger's page is reclaimed"

expect { LD-CIRCULAR }

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}
mm B {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x12000
}

device gpu0 : i915_userptr(A, 0x10000..0x20000) { mutant "2019" }

task ioctl { gpu0.get_pages 0x10000..0x20000 }
task unmap { sync go  munmap A 0x10000..0x12000 }
task pressure { reclaim B 0x10000..0x11000 }

order { ioctl@gpu0.get_pages < unmap@user.go }
