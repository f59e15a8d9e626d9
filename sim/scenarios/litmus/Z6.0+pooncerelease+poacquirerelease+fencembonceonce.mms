# Releases do not order a store against a load of somebody else.
# exists (P1:r0=1 and P2:r0=0 and z=2): Sometimes

scenario "Z6.0+pooncerelease+poacquirerelease+fencembonceonce"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word z  word met  word done }

task P0 {
    store x 1
    smp_store_release y 1
    add done 1
    smp_load_acquire d done
    if d is 3 { load z z  if z is 2 { load n met  check n not 2 } }
}

task P1 {
    smp_load_acquire r0 y
    smp_store_release z 1
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
