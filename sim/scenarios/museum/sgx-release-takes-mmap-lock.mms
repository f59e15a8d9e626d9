# The close of the VMA unregisters the enclave's subscriber, under mmap_lock held for writing; the release callback that
# this brings takes mmap_lock itself.
#: kind lock-recursion
#: year 2018
#: of misc SGX (out-of-tree)
#: detector lockdep-single-run

scenario "an enclave whose release takes mmap_lock"

expect { LD-RECURSIVE, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : sgx_encl(A, 0x10000..0x20000) { mutant "release-takes-mmap-lock" } #-
#+ device gpu0 : sgx_encl(A, 0x10000..0x20000)

task close {
    gpu0.enter
    gpu0.close
}
