# The callback, called by compaction with the anon_vma locked, holds a user of the address space for a moment. The
# process exits meanwhile, so the callback drops the last one, and takes the address space apart where it stands.
#: kind lock-recursion
#: year 2025
#: of drm/amdkfd SVM
#: detector lockdep-single-run

scenario "the last user of an address space dropped in its callback"

expect { LD-RECURSIVE, LD-CIRCULAR, PROG-DEADLOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 3 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "mmput-in-callback" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task mem { compact A 0x12000..0x13000 }
task proc { sync go  exit A }

order { mem@alloc < proc@user.go }
