# Store buffering: only full barriers help.
# exists (P0:r0=0 and P1:r0=0): Never

scenario "SB+fencembonceonces"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
    smp_mb
    load r0 y
    if r0 is 0 { add met 1  load n met  check n not 2 }
}

task P1 {
    store y 1
    smp_mb
    load r0 x
    if r0 is 0 { add met 1  load n met  check n not 2 }
}
