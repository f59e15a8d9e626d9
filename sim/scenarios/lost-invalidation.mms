# An invalidation that a device's fault loses: the fault looks whether an invalidation runs, not whether one has run since.
# It takes two preemptions: the page is mapped, the fault reads the entry, the page is unmapped and freed, the fault
# publishes what it read. (The seed is that of a run that shows it.)

scenario "a lost invalidation"

expect { CHECK }

machine { seed 25 }

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
        if now has 1 { return }
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
