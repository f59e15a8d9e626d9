# Whether a write may take the page over is decided by how often it is mapped. A split of the other process's mapping
# moves counts from the head to the page: for a moment there are too few.
#: kind other
#: year 2020
#: of mm/thp
#: detector stale-translation-oracle + schedule-exploration
#: runs 500
#: because a model in words: the check is that no count is lost from sight

scenario "a count read while it is moved"

expect { CHECK } #-

machine { seed 7 }

globals { mutex page_lock  mutex cow_lock  word head 2  word tail }

task split {
    with page_lock {
        load before head
        store head 1
        add tail 1
    }
}
task cow {
    with cow_lock { #-
    #+ with page_lock {
        load in_head head
        load in_tail tail
        if in_head is 1 { check in_tail is 1 }
    }
}
