# Fork looks whether a page is pinned and write-protects it if not. A lockless look-up pins the page and sees the entry
# as it was. The pin is of a page that the next write of the parent copies.
#: kind seq-retry
#: year 2020
#: of mm/gup + fork
#: detector stale-translation-oracle + schedule-exploration
#: runs 2000
#: because a model in words, as the look-up without locks is not in the simulated memory manager: the check is that a page pinned for writing is not shared

scenario "a page pinned while fork write-protects it"

expect { CHECK } #-

machine { seed 7 }

globals { word seq  word pinned  word writable 1  word shared }

task fork {
    #+ add seq 1
    load pins pinned
    if pins is 0 { store writable 0  store shared 1 }
    #+ add seq 1
}
task gup {
    #+ load begin seq
    #+ if begin has 1 { return }
    load entry writable
    if entry is 0 { return }
    add pinned 1
    load again writable
    if again is 0 { return }
    #+ load end seq
    #+ if end not begin { return }
    load copied shared
    check copied is 0
}
