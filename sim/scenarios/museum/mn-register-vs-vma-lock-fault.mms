# Linux before e611b0a9a274 (2023): a fault under the lock of its VMA alone had begun a bracket when nobody was
# subscribed, and clears its entry after somebody is. The pins put the registration between. Found by COH; silent
# without the quirk, where registration waits for the fault.
#: kind missing-invalidate
#: year 2023
#: of mm/mmap
#: detector stale-translation-oracle + schedule-exploration
#: because the subscriber was never told, so it owes nothing: what is wrong is what its device reads
#: only-buggy mm.cow

scenario "a fault that began before the registration"

expect { COH } #-

quirks { lock-vmas-at-registration } #-

machine { memory 16M  swap 0 }

mm B { forked }
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device gpu0 : interval_mirror(A, 0x10000..0x50000)

task share { fork A B  sync shared }
task fault { sync go  write A 0x10000 5  sync wrote }
task driver { sync begin  register gpu0  gpu0.map 0x10000..0x11000  sync mapped  sync use  gpu0.read 0x10000 }

order {
    share@user.shared < fault@user.go
    fault@notifier.range_start < driver@user.begin
    driver@user.mapped < fault@mm.cow
    fault@user.wrote < driver@user.use
}

never { deadlock }
