# The hook sends a command for each page of the range that the CPUs flush. A large munmap keeps a CPU in it for tens of
# seconds.
#: kind overflow/limits
#: year 2023
#: of IOMMU SVA
#: detector other (step-budget watchdog per callback)

scenario "a command for each page of a large range"

expect { PROG-LIVELOCK } #-

machine { cpus 2  memory 16M  swap 4M  seed 7  max_steps 20000 }

mm A {
    vma 0x10000000..0x30000000 rw anon
    touch 0x10000000..0x10002000
    touch 0x2fffe000..0x30000000
}

device gpu0 : iommu_sva(A, 0x10000000..0x30000000) { mutant "command-per-page" } #-
#+ device gpu0 : iommu_sva(A, 0x10000000..0x30000000)

task all {
    gpu0.write 0x10001000 1
    munmap A 0x10000000..0x30000000
}
