# Allocations are made under reservations, so reclaim comes after them. The driver's shrinker, which reclaim calls, opens an
# acquire context and waits for a reservation.
#: kind fs-reclaim
#: year 2026
#: of drm/msm
#: detector lockdep-single-run

scenario "a shrinker that waits for a reservation"

expect { LD-CIRCULAR } #-

machine { cpus 2  memory 16M  swap 4M  seed 7 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { shrinker on  mutant "shrinker-opens-acquire" } #-
#+ device gpu0 : amdgpu_userptr(A, 0x10000..0x20000) { shrinker on }

task ioctl { gpu0.submit 0x10000..0x12000 1  gpu0.validate }
task kswapd { reclaim 1 pages }
