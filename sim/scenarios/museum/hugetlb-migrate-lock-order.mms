# Migration holds a folio's lock and takes the mapping's lock to put entries back. A hole is punched with the mapping's
# lock held and waits for the folio's.
#: kind lock-cycle
#: year 2026
#: of mm/migrate
#: detector lockdep-single-run

scenario "folio lock and mapping lock in two orders"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device hugetlb : interval(A, 0x10000..0x20000) {
    mutex folio
    rwsem mapping class "&mapping->i_mmap_rwsem"
    op migrate { with folio { with read mapping { } } } #-
    #+ op migrate { with read mapping { with folio { } } }
    op punch_hole { with write mapping { with folio { } } }
}

task migrate { hugetlb.migrate }
task punch { hugetlb.punch_hole }
