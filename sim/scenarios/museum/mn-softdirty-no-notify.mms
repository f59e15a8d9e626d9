# Linux before "soft-dirty: call mmu notifiers when write-protecting ptes" (2013): forgetting modifications write-protected
# entries, and told no subscriber. A device goes on writing to pages that a checkpoint takes for unmodified.
#: kind missing-invalidate
#: year 2013
#: of fs/proc
#: detector ordering-oracle-single-run

scenario "a device writes behind the checkpoint's back"

expect { ORD-CLEAR } #-

quirks { notify-soft-dirty } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device gpu0 : interval_mirror(A, 0x10000..0x14000)

task user {
    gpu0.write 0x11000 1
    clear_refs A 4
}

never { deadlock }
