# Full barriers make two readers agree about the order of two writers.
# exists (P1:r0=1 and P1:r1=0 and P3:r0=1 and P3:r1=0): Never

scenario "IRIW+fencembonceonces+OnceOnce"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    store x 1
}

task P1 {
    load r0 x
    smp_mb
    load r1 y
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}

task P2 {
    store y 1
}

task P3 {
    load r0 y
    smp_mb
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
