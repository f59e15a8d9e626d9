# A fault has looked a page up, sees that an invalidation came, and starts over without giving the page back. Every
# collision leaves a reference.
#: kind seq-retry
#: year 2026
#: of KVM arm64 nested
#: detector refcount/lifetime oracle + exploration
#: runs 5000

scenario "a page kept by a fault that starts over"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "keeps-page-on-retry" } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000)

task vcpu { gpu0.write 0x12000 1  unregister gpu0 }
task mem { reclaim A 0x12000..0x13000 }
