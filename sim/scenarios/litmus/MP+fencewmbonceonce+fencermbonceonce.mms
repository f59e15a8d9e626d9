# Message passing: a write barrier pairs with a read barrier.
# exists (P1:r0=1 and P1:r1=0): Never

scenario "MP+fencewmbonceonce+fencermbonceonce"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
    smp_wmb
    store y 1
}

task P1 {
    load r0 y
    smp_rmb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 1 } }
}
