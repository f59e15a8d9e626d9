# A release passes on what its task has seen of others.
# exists (P1:r0=1 and P2:r0=1 and P2:r1=0): Never

scenario "WRC+pooncerelease+fencermbonceonce+Once"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
}

task P1 {
    load r0 x
    smp_store_release y 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P2 {
    load r0 y
    smp_rmb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
