# A store is after what its task has loaded before.
# exists (P0:r0=2 and x=2): Never

scenario "CoRW+poonceonce+Once"

machine { memory_model relaxed }

globals { word x  word met  word done }

task P0 {
    load r0 x
    store x 1
    if r0 is 2 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 2 { load n met  check n not 1 } }
}

task P1 {
    store x 2
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 2 { load n met  check n not 1 } }
}
