# A load sees nothing older than what its task has stored.
# exists (P0:r0=2 and x=1): Never

scenario "CoWR+poonceonce+Once"

machine { memory_model relaxed }

globals { word x  word met  word done }

task P0 {
    store x 1
    load r0 x
    if r0 is 2 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 1 { load n met  check n not 1 } }
}

task P1 {
    store x 2
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 1 { load n met  check n not 1 } }
}
