# Store buffering, which x86 does as well.
# exists (P0:r0=0 and P1:r0=0): Sometimes

scenario "SB+poonceonces"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
    load r0 y
    if r0 is 0 { add met 1  load n met  check n not 2 }
}

task P1 {
    store y 1
    load r0 x
    if r0 is 0 { add met 1  load n met  check n not 2 }
}
