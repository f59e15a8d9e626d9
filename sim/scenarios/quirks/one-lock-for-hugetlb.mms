# Linux before 5f75cfbd6bb0 (2024): one entry of hugetlb memory, two locks. A look-up takes one, who changes the entry takes the other: a page
# is pinned that has been freed. Found by STALE-HARM; silent without the quirk.

scenario "one entry under two locks"

expect { STALE-HARM }

quirks { one-lock-for-hugetlb }

machine { cpus 2  memory 64M }

mm A { vma 0x200000..0x400000 rw hugetlb  touch 0x200000..0x400000 }

device nic : hfi1_cache(A, 0x200000..0x400000)

task send { nic.send 0x200000..0x201000 }
task discard { sleep 5  madvise A 0x200000..0x400000 MADV_DONTNEED  sync gone }

order { discard@user.gone < send@mm.window }

never { deadlock }
