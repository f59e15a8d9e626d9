# To let a lock go and take another orders the stores before and after.
# exists (P1:r0=1 and P1:r1=0): Never

scenario "MP+unlocklockonceonce+fencermbonceonce"

machine { memory_model relaxed }

globals { word x  word y  word met  spinlock s  spinlock t }

task P0 {
    with s { store x 1 }
    with t { store y 1 }
}

task P1 {
    load r0 y
    smp_rmb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 1 } }
}
