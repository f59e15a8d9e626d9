# The callback unmaps the device's own file from user space (unmap_mapping_range): it takes the i_mmap_rwsem of a file
# whose pages reclaim never sees. mm_take_all_locks holds every i_mmap_rwsem of the process, of the same class; priming
# the map there says "i_mmap_rwsem, then callback" of all of them. No schedule of this driver deadlocks.

scenario "a callback that unmaps the device's own file (correct)"

mm A {
    vma 0x10000..0x50000 rw anon
    vma 0x60000..0x70000 rw file "/dev/dri/renderD128" shared
    touch 0x10000..0x20000
}

device gpu : interval(A, 0x10000..0x20000) {
    mutex vm_lock
    rwsem mapping class "&mapping->i_mmap_rwsem"
    on invalidate(range) { if blockable { with read mapping { }  with vm_lock { set_seq  zap range } } else { refuse } }
}
device late : interval(A, 0x20000..0x30000) {
    on invalidate(range) { set_seq }
}

task open { register late }
task unmap { munmap A 0x10000..0x12000 }
