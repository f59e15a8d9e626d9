# Linux before "mm/vmscan: flush deferred TLB before freeing large folios" (2026): reclaim flushes for many pages at once, before it
# frees them; a large folio was freed without waiting for that. A driver is slow to let go of a page that comes after it, so
# that the flush comes late. Found by STALE-HARM; silent without the quirk.

scenario "a large folio freed before its flush"

expect { STALE-HARM }

quirks { flush-before-freeing-large-folios }

machine { cpus 4  memory 32M }

mm A { vma 0x200000..0x400000 rw anon  vma 0x400000..0x408000 r file "f" }

device slow : interval(A, 0x404000..0x405000) {
    on invalidate(range) { sync here }
}

task before {
    madvise A 0x200000..0x400000 MADV_HUGEPAGE
    write A 0x200000
    mprotect A 0x200000..0x201000 r
    mprotect A 0x200000..0x201000 rw
    madvise A 0x200000..0x400000 MADV_FREE
    touch A 0x400000..0x408000
    sync lazy
}
task reclaim {
    sync again
    reclaim A 0x200000..0x408000
}
task user {
    sync go
    read A 0x210000
    sync cached
    sleep 10
    read A 0x210000
    sync looked
}

order {
    before@user.lazy < user@user.go
    user@user.cached < reclaim@user.again
    user@user.looked < reclaim@user.here
}

never { deadlock }
