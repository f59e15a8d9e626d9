# Linux before 6db504ce55bd (2023): KSM looked whether the address space is alive, took its lock and walked the VMAs. The exit may come
# to its end between the two, since it holds the lock only while it takes the tree apart.
#: kind lifetime-uaf
#: year 2023
#: of mm/ksm
#: detector refcount/lifetime oracle + exploration
#: runs 500
#: only-buggy mm.window
#: strategy pct

scenario "a walk of a tree that an exit took apart"

expect { LIFE } #-

quirks { test-exit-under-mmap-lock } #-

machine { memory 16M  seed 7 }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }

task ksmd {
    madvise A 0x10000..0x14000 MADV_MERGEABLE
    sync merged
    ksm_unmerge
}
task exit { sync go  exit A }

order { ksmd@user.merged < exit@user.go }

never { deadlock }
