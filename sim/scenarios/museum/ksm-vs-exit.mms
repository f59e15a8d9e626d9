# The scanner of KSM tests whether the address space is alive, then takes its lock and walks the VMAs. The exit may come
# to its end between the two, since it holds the lock only while it takes the tree apart.
#: kind lifetime-uaf
#: year 2023
#: of mm/ksm
#: detector refcount/lifetime oracle + exploration
#: runs 500
#: because a model in words: the tree that is walked is gone, which the check says; no page and no driver is in it

scenario "a walk of a tree that an exit took apart"

expect { CHECK } #-

machine { seed 7 }

globals { rwsem mmap_lock  word alive 1  word tree 1 }

task ksmd {
    load alive alive
    if alive is 0 { return }
    with read mmap_lock {
        #+ load alive alive
        #+ if alive is 0 { return }
        load tree tree
        check tree is 1
    }
}
task exit {
    store alive 0
    with write mmap_lock { store tree 0 }
}
