# Full barriers between two stores, and between a store and a load.
# exists (P1:r0=0 and y=2): Never

scenario "R+fencembonceonces"

machine { memory_model relaxed }

globals { word x  word y  word met  word done }

task P0 {
    store x 1
    smp_mb
    store y 1
    add done 1
    smp_load_acquire d done
    if d is 2 { load y y  if y is 2 { load n met  check n not 1 } }
}

task P1 {
    store y 2
    smp_mb
    load r0 x
    if r0 is 0 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 2 { load y y  if y is 2 { load n met  check n not 1 } }
}
