# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, reclaim_batch().
scenario "reclaim of pages in use on another CPU"
mm A {
    vma 0x10000000000..0x10000020000 rw anon
    touch 0x10000000000..0x10000020000
    vma 0x10000080000..0x10000088000 rw file "/ext2/rb" shared
}
device rec : recorder(A)
task main {
    repeat 1 { touch A 0x10000000000..0x10000020000 read A 0x10000080000 read A 0x10000081000 read A 0x10000082000 read A 0x10000083000 read A 0x10000084000 read A 0x10000085000 read A 0x10000086000 read A 0x10000087000 }
    sync runs
    sync over
    mark "exit"
    exit A
}
task reclaimer {
    sync go
    mark "try_to_free_pages x25 by another process while a thread of the victim runs on a cpu (batched TLB flush)"
    file_write { age A 0x10000000000..0x10000020000  age A 0x10000080000..0x10000088000  reclaim A 0x10000080000..0x10000088000  reclaim A 0x10000000000..0x10000020000 }
    sync done
}
order {
    main@user.runs < reclaimer@user.go
    reclaimer@user.done < main@user.over
}
