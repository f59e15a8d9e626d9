# No load buffering where a store depends on the load.
# exists (P0:r0=1 and P1:r0=1): Never

scenario "LB+fencembonceonce+ctrlonceonce"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    load r0 x
    if r0 not 0 { store y 1 }
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P1 {
    load r0 y
    smp_mb
    store x 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}
