# Linux before be3f38d05cc5 (2026): a page of a private mapping of a file is anonymous once it was copied, and may move to a
# device. Unmapping it asserted that the mapping is anonymous, which it is not.
#: kind other
#: year 2026
#: of mm/memory
#: detector other (state-consistency assertion, single run)
#: because the assertion is the code's own, and stops the task

scenario "a page that is anonymous in a mapping that is not"

expect { PANIC } #-

quirks { zap-device-private-by-folio } #-

mm A { vma 0x10000..0x50000 rw file "f" private }

device gpu0 : device_memory(A, 0x10000..0x50000)

task user {
    write A 0x12000 1
    gpu0.migrate_to_dev 0x12000..0x13000
    munmap A 0x12000..0x13000
}

never { deadlock }
