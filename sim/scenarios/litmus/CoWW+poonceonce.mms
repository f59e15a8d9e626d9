# Two stores of one task to one word keep their order.
# exists (x=1): Never

scenario "CoWW+poonceonce"

machine { memory_model relaxed }

globals { word x  word done }

task P0 {
    store x 1
    store x 2
    add done 1
    smp_load_acquire d done
    if d is 1 { load x x  check x not 1 }
}
