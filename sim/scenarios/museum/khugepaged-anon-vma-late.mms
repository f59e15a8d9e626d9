# Linux before 023f47a8250c (2023): khugepaged saw that a mapping of the file had no private pages, and took the process's mmap_lock after
# that. A private page may come in between, and with it an anon_vma whose walkers use the table that is taken away.
#: kind wrong-order
#: year 2023
#: of mm/khugepaged
#: detector lockdep-single-run
#: only-buggy mm.window

scenario "a table taken from under an anon_vma"

expect { LD-MISUSE } #-

kernel 6.1

quirks { test-anon-vma-under-mmap-lock } #-

machine { cpus 2  memory 64M  seed 7 }

mm B { vma 0x200000..0x600000 rw shmem "f" private }
mm A { vma 0x200000..0x600000 rw shmem "f" shared  touch 0x200000..0x400000 }

task collapse {
    read B 0x200000
    madvise A 0x200000..0x600000 MADV_HUGEPAGE
    sync ready
    khugepaged A 0x200000..0x400000
}
task private { sync go  sleep 5  write B 0x500000 1  sync done }

order {
    collapse@user.ready < private@user.go
    private@user.done < collapse@mm.window
}

never { deadlock }
