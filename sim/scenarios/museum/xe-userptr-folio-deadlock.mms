# A bind marks pages dirty, which takes folio locks, under the notifier lock. Migration holds the folio's lock when it
# calls the notifier, which takes that lock.
#: kind lock-cycle
#: year 2025
#: of drm/xe
#: detector lockdep-single-run

scenario "folio locks taken under the notifier lock"

expect { LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : xe_userptr(A, 0x10000..0x20000) { mutant "dirty-under-notifier-lock" } #-
#+ device gpu0 : xe_userptr(A, 0x10000..0x20000)

task bind { gpu0.bind 0x12000..0x13000 }
task mem { compact A 0x12000..0x13000 }
