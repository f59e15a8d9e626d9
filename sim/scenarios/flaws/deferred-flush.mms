# Reclaim takes a clean page from the swap cache while a CPU still has its translation: the flush comes later, with those of
# other pages. Another CPU needs the page, finds it gone, reads it back into another frame and writes there. Whoever still has
# the old translation reads the old frame, although it knows of the write. Here a driver is slow to let go of the next page.
# Found by CHECK in one run of Linux as it is (docs/flaws/deferred-flush.md); silent with
# behaviours { flush-before-remove-mapping }.

scenario "a page written after it came back, read where it was"

expect { CHECK }

machine { cpus 4  memory 16M  swap 16M }

globals { word told }

mm A { vma 0x11000..0x13000 rw anon  touch 0x11000..0x13000 }

device slow : interval(A, 0x12000..0x13000) {
    on invalidate(range) { sync here }
}

task before { reclaim A 0x11000..0x13000  read A 0x11000  read A 0x12000  sync clean }
task reader {
    sync go
    read A 0x11000
    sync cached
    sleep 20
    load seen told
    if seen is 1 { check_word A 0x11000 is 7 }
    sync looked
}
task writer { sleep 10  write A 0x11000 7  store told 1 }
task mem { sync again  reclaim A 0x11000..0x13000 }

order {
    before@user.clean < reader@user.go
    reader@user.cached < mem@user.again
    reader@user.looked < mem@user.here
}

never { deadlock, incoherent }
