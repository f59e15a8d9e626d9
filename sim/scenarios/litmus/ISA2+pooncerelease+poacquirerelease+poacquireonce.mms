# A message passed on by a third task: releases are cumulative.
# exists (P1:r0=1 and P2:r0=1 and P2:r1=0): Never

scenario "ISA2+pooncerelease+poacquirerelease+poacquireonce"

machine { memory_model relaxed }

globals { word x  word y  word z  word met }

task P0 {
    store x 1
    smp_store_release y 1
}

task P1 {
    smp_load_acquire r0 y
    smp_store_release z 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P2 {
    smp_load_acquire r0 z
    load r1 x
    if r0 is 1 { if r1 is 0 { add met 1  load n met  check n not 2 } }
}
