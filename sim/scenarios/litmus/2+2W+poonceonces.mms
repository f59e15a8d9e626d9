# Two tasks that overwrite each other in opposite orders.
# exists (x=1 and y=1): Sometimes

scenario "2+2W+poonceonces"

expect { CHECK }

machine { memory_model relaxed }

globals { word x  word y  word done }

task P0 {
    store x 1
    store y 2
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 1 { load y y  check y not 1 } }
}

task P1 {
    store y 1
    store x 2
    add done 1
    smp_load_acquire d done
    if d is 2 { load x x  if x is 1 { load y y  check y not 1 } }
}
