# What is about to be torn down is marked invalid, and torn down later. Invalidations in between pass it over, and
# return with translations in place.
#: kind missing-invalidate
#: year 2021
#: of KVM x86 MMU
#: detector refcount/lifetime oracle + exploration
#: runs 10000
#: strategy pct

scenario "translations of a slot that is being deleted"

expect { STALE-HARM, STALE, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "skips-invalid-slots" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task vcpu {
    gpu0.write 0x12000 1
    sync mapped
    gpu0.read 0x12000
}
task slots { sync go  gpu0.delete_slot 0x10000..0x20000 }
task unmap { sync away  munmap A 0x12000..0x13000 }

order { vcpu@user.mapped < slots@user.go  vcpu@user.mapped < unmap@user.away }
