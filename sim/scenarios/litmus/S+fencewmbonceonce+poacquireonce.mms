# A store after an acquire is after what was before the write barrier.
# exists (P1:r0=1 and x=2): Never

scenario "S+fencewmbonceonce+poacquireonce"

machine { memory_model relaxed }

globals { word x  word y  word met  word done }

task P0 {
    store x 2
    smp_wmb
    store y 1
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 2 { load n met  check n not 1 } }
}

task P1 {
    smp_load_acquire r0 y
    store x 1
    if r0 is 1 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 2 { load n met  check n not 1 } }
}
