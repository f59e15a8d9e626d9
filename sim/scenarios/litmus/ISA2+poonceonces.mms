# A message passed on by a third task, with nothing in between.
# exists (P1:r0=1 and P2:r0=1 and P2:r1=0): Sometimes

scenario "ISA2+poonceonces"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word z  word met }

task P0 {
    store x 1
    store y 1
}

task P1 {
    load r0 y
    store z 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P2 {
    load r0 z
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
