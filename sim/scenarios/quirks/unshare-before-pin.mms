# Linux before 17839856fd58 (2020): a page was pinned for reading as it was, shared with a child. Whoever writes first gets the copy: here
# the owner of the pin, whose device goes on reading the child's page. Found by STALE and COH; silent without the quirk.

scenario "a shared page pinned for reading"

expect { STALE, COH }

quirks { unshare-before-pin }

machine { memory 16M  seed 7 }

mm A { vma 0x10000..0x12000 rw anon  touch 0x10000..0x12000 }
mm B { forked }

device reader : list(A) { op get(range) { pin range  map range } }

task user {
    write A 0x10000 1
    fork A B
    mprotect A 0x10000..0x12000 r
    reader.get 0x10000..0x11000
    mprotect A 0x10000..0x12000 rw
    write A 0x10000 2
    reader.read 0x10000
}

never { deadlock }
