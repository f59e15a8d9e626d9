# Message passing around critical sections.
# exists (P1:r0=1 and P1:r1=0): Never

scenario "MP+porevlocks"

machine { memory_model relaxed }

globals { word x  word y  word met  spinlock mylock }

task P0 {
    with mylock { store x 1 }
    store y 1
}

task P1 {
    load r0 y
    with mylock { load r1 x }
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 1 } }
}
