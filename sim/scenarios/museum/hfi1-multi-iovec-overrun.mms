# A buffer in two parts, the first of which ends inside of a page. The packet is built by whole pages, so what is sent
# is the page behind.
#: kind range-math
#: year 2023
#: of RDMA/hfi1
#: detector ordering-oracle-single-run
#: because no bracket is near; accesses here are of whole pages, so the overrun is a page, and what shows it is that the device reads what was not meant

scenario "a page sent that is behind the buffer"

expect { COH } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : hfi1_cache(A, 0x10000..0x20000) { mutant "overruns-page" } #-
#+ device gpu0 : hfi1_cache(A, 0x10000..0x20000)

task send {
    write A 0x12000 5
    write A 0x13000 6
    gpu0.send 0x12000..0x14000
}
