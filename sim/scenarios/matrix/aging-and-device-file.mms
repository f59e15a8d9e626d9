# A virtual machine is asked for accessed bits, under the page-table lock of the page. A callback of another device unmaps
# that device's own file from user space (unmap_mapping_range): it takes the page-table lock of other pages. Of two locks
# of one class, neither is ever waited for under the other; one map around both callbacks says they are.

scenario "accessed bits, and a callback that unmaps the device's own file (correct)"

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x20000
}

device vm : kvm(A, 0x10000..0x50000)
device gpu : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    spinlock entries class "ptlock_ptr(ptdesc)"
    on invalidate(range) { if blockable { with entries { }  with vm_lock { set_seq  zap range } } else { refuse } }
}

task aging { age A 0x10000..0x12000 }
task unmap { munmap A 0x18000..0x1a000 }
