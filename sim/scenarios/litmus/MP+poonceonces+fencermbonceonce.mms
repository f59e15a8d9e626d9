# Message passing: a read barrier without a write barrier does not help.
# exists (P1:r0=1 and P1:r1=0): Sometimes

scenario "MP+poonceonces+fencermbonceonce"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
    store y 1
}

task P1 {
    load r0 y
    smp_rmb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 1 } }
}
