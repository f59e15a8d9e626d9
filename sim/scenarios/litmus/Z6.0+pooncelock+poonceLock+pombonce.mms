# A lock taken with a full barrier (`smp_mb__after_spinlock()`) orders for those who do not take it.
# exists (P1:r0=1 and P2:r0=0 and z=2): Never

scenario "Z6.0+pooncelock+poonceLock+pombonce"

machine { memory_model relaxed }

globals { word x  word y  word z  word met  word done  spinlock mylock }

task P0 {
    with mylock { store x 1  store y 1 }
    add done 1
    smp_load_acquire d done
    if d is 3 { load z z  if z is 2 { load n met  check n not 2 } }
}

task P1 {
    with mylock { smp_mb  load r0 y  store z 1 }
    if r0 is 1 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 3 { load z z  if z is 2 { load n met  check n not 2 } }
}

task P2 {
    store z 2
    smp_mb
    load r0 x
    if r0 is 0 { add met 1 }
    add done 1
    smp_load_acquire d done
    if d is 3 { load z z  if z is 2 { load n met  check n not 2 } }
}
