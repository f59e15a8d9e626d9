# Linux before 57efa1fe5957 (2020): fork looks whether a page is pinned and write-protects it if not. A look-up without locks
# pins it in between, by an entry that is still writable. The next write of the parent copies a page that its device writes to.
#: kind seq-retry
#: year 2020
#: of mm/gup + fork
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000
#: strategy pct
#: because a pin that lasts revokes nothing: what is found is that process and device do not see the same page any more
#: only-buggy mm.window

scenario "a page pinned while fork write-protects it"

expect { COH } #-

quirks { write-protect-seq } #-

machine { cpus 3  memory 16M  swap 4M  seed 7 }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }
mm B { forked }

device nic : hfi1_cache(A, 0x10000..0x14000) { look_up fast }

task fork {
    sync ready
    fork A B
    write A 0x13000 1
    write A 0x12000 1
    write A 0x11000 1
    write A 0x10000 1
    sync written
}
task receive { sync ready  nic.receive 0x10000..0x14000 2  sync received }
task look { sync go  read A 0x10000  read A 0x11000  read A 0x12000  read A 0x13000 }

order {
    fork@user.written < look@user.go
    receive@user.received < look@user.go
}

never { deadlock }
