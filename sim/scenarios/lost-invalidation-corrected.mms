# As lost-invalidation.mms, but the fault looks whether the sequence is still the one it began with: proven by running every
# trace.

scenario "no invalidation is lost"

globals { mutex dev_lock  mutex of_mm  mutex of_dev  word seq  word pte  word dev  word freed }

task unmap {
    repeat 10 { with of_mm { } }
    store pte 2
    add seq 1
    with dev_lock { store dev 0 }
    store pte 0
    add seq 1
    store freed 2
    repeat 10 { with of_mm { } }
}

task fault {
    repeat 10 { with of_dev { } }
    load seq seq
    if seq has 1 { return }
    load page pte
    if page is 0 { return }
    with dev_lock {
        load now seq
        if now not seq { return }
        store dev page
    }
    with dev_lock {
        load page dev
        if page not 0 {
            load gone freed
            check gone not page
        }
    }
    repeat 10 { with of_dev { } }
}
