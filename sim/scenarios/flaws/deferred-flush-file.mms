# The same of a page of a file, between two processes: one reads its mapping where the page was, after the other has written
# the page that the file has now.

scenario "a file's page written after it came back, read where it was"

expect { CHECK }

machine { cpus 4  memory 16M }

globals { word told }

mm A { vma 0x11000..0x13000 r file "/f" shared }
mm B { vma 0x21000..0x23000 rw file "/f" shared }

device slow : interval(A, 0x12000..0x13000) {
    on invalidate(range) { sync here }
}

task reader {
    read A 0x11000
    sync cached
    sleep 20
    load seen told
    if seen is 1 { check_word A 0x11000 is 7 }
    sync looked
}
task other { read A 0x12000  sync cached_too }
task mem { sync again  reclaim A 0x11000..0x13000 }
task writer { sleep 10  write B 0x21000 7  store told 1 }

order {
    reader@user.cached < mem@user.again
    other@user.cached_too < mem@user.again
    reader@user.looked < mem@user.here
}

never { deadlock, incoherent }
