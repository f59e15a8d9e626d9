# A worker splits a range and subscribes to the parts, by the address space it remembered. The process has exited by
# then.
#: kind lifetime-uaf
#: year 2021
#: of drm/amdkfd SVM
#: detector refcount/lifetime oracle + exploration
#: runs 5000

scenario "a subscription to an address space that has ended"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdkfd_svm(A, 0x10000..0x20000) { mutant "insert-without-users" } #-
#+ device gpu0 : amdkfd_svm(A, 0x10000..0x20000)

task proc { gpu0.split 0x12000..0x13000  exit A }
task close { sync go  unregister gpu0 }
order { proc@gpu0.split < close@user.go }
