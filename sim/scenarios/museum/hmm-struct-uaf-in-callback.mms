# The object that callbacks use is freed with its last reference, and not after the read section that a callback is in.
#: kind lifetime-uaf
#: year 2019
#: of mm/hmm
#: detector refcount/lifetime oracle + exploration
#: runs 2000

scenario "an object freed while its callback uses it"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : sgx_encl(A, 0x10000..0x20000) { mutant "free-before-unregister" } #-
#+ device gpu0 : sgx_encl(A, 0x10000..0x20000)

task close { gpu0.enter  unregister gpu0 }
