# Mapping fails after the notifier was inserted. The error path frees the region as it is.
#: kind lifetime-uaf
#: year 2025
#: of mshv
#: detector refcount/lifetime oracle + exploration

scenario "a region freed with its notifier in place"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : gntdev(A, 0x10000..0x60000) { mutant "forgets-on-error" } #-
#+ device gpu0 : gntdev(A, 0x10000..0x60000)

task map {
    gpu0.map 0x14000..0x15000
    gpu0.map 0x52000..0x53000
    munmap A 0x14000..0x15000
    unregister gpu0
    exit A
}
