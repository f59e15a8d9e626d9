# A lock handed over orders the stores of both its holders, for others too.
# exists (P1:r0=1 and P2:r0=1 and P2:r1=0): Never

scenario "ISA2+pooncelock+pooncelock+pombonce"

machine { memory_model relaxed }

globals { word x  word y  word z  word met  spinlock mylock }

task P0 {
    with mylock { store x 1  store y 1 }
}

task P1 {
    with mylock { load r0 y  store z 1 }
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P2 {
    load r0 z
    smp_mb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
