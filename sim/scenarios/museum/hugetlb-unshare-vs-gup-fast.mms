# Linux before 1013af4f585f (2025): a look-up without locks is in a PMD table that two processes share. Its process leaves the table to the
# other, who maps something else by it, and the look-up pins that.
#: kind lifetime-uaf
#: year 2025
#: of mm/hugetlb
#: detector stale-translation-oracle + schedule-exploration
#: because the process of the look-up maps nothing there any more, so no translation is stale: what is found is that its device writes to another process's memory
#: only-buggy mm.window

scenario "a table left to others under a look-up without locks"

expect { COH } #-

quirks { unshare-waits-for-gup-fast } #-

machine { cpus 3  memory 64M  seed 7 }

mm A { vma 0x40000000..0x80000000 rw hugetlb "/huge/s" shared }
mm B { forked }

device nic : hfi1_cache(A, 0x40000000..0x80000000) { look_up fast }

task receive { sync go  nic.receive 0x40000000..0x40001000 7  sync received }

task unmap {
    truncate "/huge/s" 0x40000000
    fork A B
    write B 0x40000000 1
    write A 0x40000000 2
    sync shared
    sleep 5
    munmap A 0x40000000..0x80000000
    munmap B 0x40000000..0x40200000
    mmap B 0x40000000..0x40200000 rw hugetlb "/huge/b" shared
    truncate "/huge/b" 0x200000
    write B 0x40000000 3
    sync left
    sleep 5
    read B 0x40000000
}

order {
    unmap@user.shared < receive@user.go
    unmap@user.left < receive@mm.window
}

never { deadlock }
