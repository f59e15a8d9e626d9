# The mapping for the cache is made inside of the retry loop. Making it invalidates what the loop has looked up, so the
# loop never ends.
#: kind livelock
#: year 2022
#: of KVM gfn_to_pfn_cache
#: detector other (retry budget)

scenario "a retry loop that invalidates what it looks up"

expect { PROG-LIVELOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7  max_steps 5000 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : kvm(A, 0x10000..0x20000) { mutant "gpc-maps-in-loop"  retries 100000 } #-
#+ device gpu0 : kvm(A, 0x10000..0x20000) { retries 100000 }

task vcpu { gpu0.gpc_write 0x12000 1 }
task unmap { munmap A 0x14000..0x15000 }
