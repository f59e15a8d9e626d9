# A lock orders its holders, and not a store against a load of somebody else.
# exists (P1:r0=1 and P2:r0=0 and z=2): Sometimes

scenario "Z6.0+pooncelock+pooncelock+pombonce"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word z  word met  word done  spinlock mylock }

task P0 {
    with mylock { store x 1  store y 1 }
    add done 1
    smp_load_acquire d done
    if d is 3 { load z z  if z is 2 { load n met  check n not 2 } }
}

task P1 {
    with mylock { load r0 y  store z 1 }
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
