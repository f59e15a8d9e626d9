# Reclaim holds the folio's lock when it unmaps a page and calls the notifier. The callback marks the page dirty, by the
# variant that takes the folio's lock.
#: kind lock-recursion
#: year 2019
#: of drm/i915 userptr
#: detector lockdep-single-run

scenario "pages marked dirty in the callback"

expect { LD-RECURSIVE, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : dmirror(A, 0x10000..0x20000) { mutant "dirty-in-callback" } #-
#+ device gpu0 : dmirror(A, 0x10000..0x20000)

task all {
    gpu0.write 0x12000 1
    reclaim A 0x12000..0x13000
}
