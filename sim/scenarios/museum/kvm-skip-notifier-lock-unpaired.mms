# An invalidation counts itself in only where a slot overlaps. Slots change inside of the bracket, so that start and end
# decide differently, and the count never comes back to zero: no guest page fault is served any more.
#: kind unpaired
#: year 2021
#: of KVM
#: detector stale-translation-oracle + schedule-exploration
#: runs 5000
#: because the count is raised for ever and the vCPU waits for it for ever: no translation is used that should not be

scenario "slots that change between a start and its end"

expect { PROG-DEADLOCK, STALE, STALE-HARM, COH, SEQ } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "slots-change-in-bracket" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task vcpu { gpu0.write 0x12000 1  gpu0.write 0x14000 1  gpu0.write 0x15000 1 }
task unmap { munmap A 0x12000..0x13000 }
task slots { gpu0.delete_slot 0x10000..0x20000  gpu0.add_slot 0x10000..0x20000 }
