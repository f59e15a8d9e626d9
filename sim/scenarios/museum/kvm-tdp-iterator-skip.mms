# The zap lets mmu_lock go between entries. When it goes on it has stepped over one, and the invalidation returns with
# that translation in place.
#: kind missing-invalidate
#: year 2021
#: of KVM x86 MMU
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000

scenario "a zap that goes on one entry too far"

expect { STALE, STALE-HARM, COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "skips-after-yield" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task vcpu {
    gpu0.write 0x12000 1
    gpu0.write 0x13000 2
    sync mapped
    gpu0.read 0x13000
}
task unmap { sync go  munmap A 0x12000..0x14000 }

order { vcpu@user.mapped < unmap@user.go  unmap@notifier.range_end < vcpu@gpu0.read }
