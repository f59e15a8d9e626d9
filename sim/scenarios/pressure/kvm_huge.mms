# kvm beside huge pages under random pressure: an entry of 2 MiB of the device, and what takes a small page of it away. Another
# process wants the memory. Made to be run many times, as the others here. Silent under every schedule.

scenario "kvm beside huge pages under pressure"

machine { cpus 2  memory 6M  swap 8M  seed 7  kswapd on }

mm A { vma 0x400000..0x800000 rw anon }
mm H { vma 0x10000..0x400000 rw anon }

device gpu0 : kvm(A, 0x400000..0x800000)

task dev {
    madvise A 0x400000..0x600000 MADV_HUGEPAGE
    write A 0x400000 1
    gpu0.write 0x401000 2
    gpu0.read 0x403000
    sync mapped
    gpu0.read 0x402000
    gpu0.write 0x404000 3
}
task unmap { sync part  munmap A 0x402000..0x403000  mprotect A 0x404000..0x406000 r  mprotect A 0x404000..0x406000 rw }
task vcpu { sync part  gpu0.read 0x402000  gpu0.write 0x404000 4  gpu0.read 0x403000 }
task mem { sync part  reclaim A 0x406000..0x408000  compact A 0x400000..0x410000 }
task dirty { sync part  clear_refs A 4  write A 0x401000 }
task hog { sleep 50  touch H 0x10000..0x300000 }
task late { sleep 100  gpu0.read 0x403000  madvise A 0x400000..0x480000 MADV_DONTNEED  gpu0.write 0x405000 5 }
task reaper { sleep 150  oom_reap A }
task leave { sleep 200  exit A }
task quit { sleep 3000  unregister gpu0 }

order { dev@user.mapped < unmap@user.part  dev@user.mapped < vcpu@user.part  dev@user.mapped < mem@user.part  dev@user.mapped < dirty@user.part }

never { deadlock, livelock, stale, incoherent, sleep, unpaired, unordered, unsequenced, inversion, panic }
