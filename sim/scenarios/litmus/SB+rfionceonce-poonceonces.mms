# Store buffering: a task sees its own store before others do.
# exists (P0:r0=1 and P0:r1=0 and P1:r0=1 and P1:r1=0): Sometimes

scenario "SB+rfionceonce-poonceonces"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
    load r0 x
    load r1 y
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}

task P1 {
    store y 1
    load r0 y
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
