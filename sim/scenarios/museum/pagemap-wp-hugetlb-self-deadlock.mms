# A walk for write-protection holds the VMA's lock to read. Where the range has a hole it calls the general code, which
# takes the lock to write.
#: kind lock-recursion
#: year 2026
#: of fs/proc
#: detector lockdep-single-run

scenario "a lock taken to write by who reads"

expect { LD-RECURSIVE, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device hugetlb : interval(A, 0x10000..0x20000) {
    rwsem vma_lock
    op change_protection { with write vma_lock { } }
    op pagemap_scan { with read vma_lock { with write vma_lock { } } } #-
    #+ op pagemap_scan { with read vma_lock { } }
}

task scan { hugetlb.pagemap_scan  hugetlb.change_protection }
