# Linux before 369ea8242c0f (2017): reclaim cleared an entry under the page-table lock and told subscribers when it had
# let the lock go (`invalidate_page`).
#: kind wrong-order
#: year 2017
#: of mm/rmap
#: detector stale-translation-oracle + schedule-exploration
#: because the entry went before the page was announced: the rule of brackets says so in one run

scenario "reclaim announces what it has done"

expect { ORD-CLEAR } #-

quirks { notify-before-unmap } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task user {
    gpu0.map 0x10000..0x12000
    reclaim A 0x10000..0x11000
}

never { deadlock }
