# The callback drops a kernel mapping under a spinlock and marks the page dirty there, which for a page of a file takes
# locks that sleep.
#: kind irq-or-context
#: year 2019
#: of vhost
#: detector lockdep-single-run

scenario "pages dirtied under the spinlock of a callback"

expect { LD-WAIT, CTX } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : vhost_vq(A, 0x10000..0x20000) { mutant "dirty-under-spinlock" } #-
#+ device gpu0 : vhost_vq(A, 0x10000..0x20000)

task vq { gpu0.write 0x12000 1 }
task unmap { munmap A 0x12000..0x13000 }
