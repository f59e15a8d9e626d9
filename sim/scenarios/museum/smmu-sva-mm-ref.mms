# Unbinding gives back the id of the address space by a pointer without a hold on the struct. The process has exited,
# and the subscription had the last hold.
#: kind lifetime-uaf
#: year 2022
#: of IOMMU SVA
#: detector refcount/lifetime oracle + exploration
#: runs 5000

scenario "an id given back to an address space that is gone"

expect { LIFE } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x12000..0x13000
}

device gpu0 : iommu_sva(A, 0x10000..0x20000) { mutant "context-after-drop" } #-
#+ device gpu0 : iommu_sva(A, 0x10000..0x20000)

task unbind { gpu0.write 0x12000 1  sync bound  sync gone  unregister gpu0 }
task proc { sync go  exit A  sync out }

order { unbind@user.bound < proc@user.go  proc@user.out < unbind@user.gone }
