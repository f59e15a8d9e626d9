# To let a lock go and take another orders a load before and a store after.
# exists (P0:r0=1 and P1:r0=1): Never

scenario "LB+unlocklockonceonce+poacquireonce"

machine { memory_model relaxed }

globals { word x  word y  word met  spinlock s  spinlock t }

task P0 {
    with s { load r0 x }
    with t { store y 1 }
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P1 {
    smp_load_acquire r0 y
    store x 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}
