# As sequence-and-count.mms, without its barriers. In sequentially consistent memory nothing is wrong with it.

scenario "the sequence check without its barriers"

expect { CHECK }

machine { memory_model relaxed }

globals { mutex dev_lock  word active  word seq  word pte 2  word dev  word freed }

task unmap {
    with dev_lock { store active 1  store dev 0 }
    store pte 0
    store seq 1
    store active 0
    store freed 2
}

task fault {
    load s seq
    load page pte
    if page is 0 { return }
    with dev_lock {
        load busy active
        if busy is 1 { return }
        load now seq
        if now not s { return }
        store dev page
    }
    with dev_lock {
        load page dev
        if page not 0 { load gone freed  check gone not page }
    }
}
