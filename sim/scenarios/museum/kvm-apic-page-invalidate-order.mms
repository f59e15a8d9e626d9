# The invalidation asks for a reload, which looks the page up while the process still maps it. Then the entry is cleared
# and the page freed, with the device's mapping in place: the reload did not ask whether a bracket is open.
#: kind wrong-order
#: year 2020
#: of KVM
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000

scenario "a page reloaded between the start and the clearing"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "ignore-in-progress" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task vcpu { gpu0.write 0x12000 1  gpu0.read 0x12000 }
task mem { reclaim A 0x12000..0x13000 }
