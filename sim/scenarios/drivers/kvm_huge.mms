# A guest whose memory the process has in huge pages: one entry of 2 MiB of the second-level table translates each. Whatever
# takes a small page of one away takes the whole entry. Silent under every schedule; turned loud by
# gpu0.mutant=zaps-small-only (STALE), see docs/drivers/kvm.md.

scenario "KVM: an entry of 2 MiB and a page of it that goes"

machine { cpus 2  memory 64M  swap 16M  seed 7 }

mm A {
    vma 0x400000..0x800000 rw anon
}

device gpu0 : kvm(A, 0x400000..0x800000)

task boot {
    madvise A 0x400000..0x600000 MADV_HUGEPAGE
    write A 0x400000 5
    gpu0.write 0x401000 1
    sync booted
    gpu0.read 0x402000
    gpu0.write 0x403000 2
}
task unmap {
    sync go
    munmap A 0x402000..0x403000
    sync gone
    mprotect A 0x404000..0x405000 r
}
task vcpu {
    gpu0.read 0x402000
    sync late
    gpu0.read 0x402000
    gpu0.write 0x404000 3
}

order {
    boot@user.booted < unmap@user.go
    unmap@user.gone < vcpu@user.late
}

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }

assert {
    callbacks gpu0.start >= 2
    blocked_tasks == 0
}
