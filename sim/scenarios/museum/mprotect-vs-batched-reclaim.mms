# Reclaim clears an entry and puts the flush off. mprotect finds no entry of a page in memory, concludes that nothing can be
# cached, and returns. A thread goes on reading through what its CPU has.
#: kind wrong-order
#: year 2017
#: of mm/rmap
#: detector stale-translation-oracle + schedule-exploration
#: runs 1000
#: strategy pct
#: because no rule says which accesses a CPU must not make: the thread checks that it reads nothing once it knows that mprotect has returned

scenario "an entry gone and its flush still to come"

expect { CHECK } #-

quirks { flush-batched-pending } #-

machine { cpus 4  memory 16M  swap 16M  seed 7 }

globals { word done }

mm A { vma 0x11000..0x15000 rw anon  touch 0x11000..0x15000 }

task reclaim {
    write A 0x11000 5
    reclaim A 0x11000..0x15000
    read A 0x11000  read A 0x12000  read A 0x13000  read A 0x14000
    sync clean
    sync again
    reclaim A 0x11000..0x15000
}
task mprotect {
    sync now
    mprotect A 0x11000..0x12000 none
    store done 1
}
task user {
    sync go
    read A 0x11000
    sync cached
    repeat 8 {
        load seen done
        if seen is 1 { check_word A 0x11000 not 5 }
    }
}

order {
    reclaim@user.clean < user@user.go
    user@user.cached < reclaim@user.again
    user@user.cached < mprotect@user.now
}
