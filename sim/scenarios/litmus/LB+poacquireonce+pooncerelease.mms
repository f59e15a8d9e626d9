# No load buffering with an acquire and a release.
# exists (P0:r0=1 and P1:r0=1): Never

scenario "LB+poacquireonce+pooncerelease"

machine { memory_model relaxed }

globals { word x  word y  word met }

task P0 {
    load r0 x
    smp_store_release y 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}

task P1 {
    smp_load_acquire r0 y
    store x 1
    if r0 is 1 { add met 1  load n met  check n not 2 }
}
