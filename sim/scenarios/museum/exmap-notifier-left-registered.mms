# The release of the file frees what was subscribed and leaves the subscription in place. The next bracket calls into
# memory that is gone.
#: kind lifetime-uaf
#: year 2022
#: of exmap (out-of-tree)
#: detector refcount/lifetime oracle + exploration

scenario "a subscription that outlives its driver"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : interval_mirror(A, 0x10000..0x20000) { mutant "keep-subscription" } #-
#+ device gpu0 : interval_mirror(A, 0x10000..0x20000)

task user {
    gpu0.map 0x10000..0x12000
    munmap A 0x11000..0x12000
    unregister gpu0
    exit A
}
