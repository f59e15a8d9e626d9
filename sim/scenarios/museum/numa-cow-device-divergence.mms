# Linux before 6c287605fd56 (2022): whether a write may use a page as it is was decided by its reference count. A page
# that a device has pinned counts as shared, so the write copied it, and device and CPU had two pages.
#: kind missing-invalidate
#: year 2022
#: of mm/mprotect
#: detector stale-translation-oracle + schedule-exploration

scenario "a pinned page is copied under the device"

expect { STALE, COH } #-

quirks { reuse-by-exclusivity } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device rdma : list(A) { op use(range) { pin range  map range } }

task user {
    rdma.use 0x10000..0x11000
    mprotect A 0x10000..0x11000 r
    mprotect A 0x10000..0x11000 rw
    write A 0x10000 7
    rdma.read 0x10000
}

never { deadlock }
