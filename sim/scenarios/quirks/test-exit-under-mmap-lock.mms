# Linux before 6db504ce55bd (2023): KSM looked whether the address space is alive, took its lock and walked the VMAs. The exit comes to its end
# between the two. Found by LIFE; silent without the quirk.

scenario "a walk of a tree that an exit took apart"

expect { LIFE }

quirks { test-exit-under-mmap-lock }

machine { memory 16M }

mm A { vma 0x10000..0x14000 rw anon  touch 0x10000..0x14000 }

task ksmd { madvise A 0x10000..0x14000 MADV_MERGEABLE  sync merged  ksm_unmerge }
task exit { sync go  sleep 5  exit A  sync gone }

order {
    ksmd@user.merged < exit@user.go
    exit@user.gone < ksmd@mm.window
}

never { deadlock }
