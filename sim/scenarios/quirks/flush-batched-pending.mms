# Linux before 3ea277194daa (2017): reclaim clears an entry and puts the flush off. mprotect finds no page in memory there,
# concludes that nothing can be cached, and returns. A thread goes on reading through what its CPU has, as long as a driver is
# slow to let go of the next page. Found by CHECK: nothing can be read once mprotect has returned; silent without the quirk.

scenario "mprotect returns before the flush that reclaim has put off"

expect { CHECK }

quirks { flush-batched-pending }

machine { cpus 4  memory 16M  swap 16M }

globals { word done }

mm A { vma 0x11000..0x13000 rw anon  touch 0x11000..0x13000  vma 0x13000..0x14000 r file "f" }

device slow : interval(A, 0x13000..0x14000) {
    on invalidate(range) { sync here }
}

task before { write A 0x11000 5  reclaim A 0x11000..0x13000  read A 0x11000  read A 0x12000  read A 0x13000  sync clean }
task user {
    sync go
    read A 0x11000
    sync cached
    sleep 20
    load seen done
    if seen is 1 { check_word A 0x11000 not 5 }
    sync looked
}
task mprotect { sleep 10  mprotect A 0x11000..0x12000 none  store done 1 }
task reclaim { sync again  reclaim A 0x11000..0x14000 }

order {
    before@user.clean < user@user.go
    user@user.cached < reclaim@user.again
    user@user.looked < reclaim@user.here
}

never { deadlock }
