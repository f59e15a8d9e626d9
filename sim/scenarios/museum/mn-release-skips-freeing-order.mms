# Linux before 3ad3d901bbcf (2012): an unregistration took the subscriber off the list and then called its release. An
# exit that came between found an empty list, waited for nobody, and freed pages that the device still had. The pin
# keeps the release waiting there.
#: kind lifetime-uaf
#: year 2012
#: of mm/mmu_notifier
#: detector refcount/lifetime oracle + exploration
#: only-buggy notifier.unlinked

scenario "exit overtakes a release"

expect { STALE-HARM } #-

quirks { wait-for-release } #-

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device gpu0 : kvm(A, 0x10000..0x14000)

task vcpu { gpu0.read 0x10000  sync mapped  sync go  gpu0.read 0x10000  sync used }
task leave { sync begin  unregister gpu0 }
task process { sleep 5  exit A  sync gone }

order {
    vcpu@user.mapped < leave@user.begin
    process@user.gone < vcpu@user.go
    vcpu@user.used < leave@notifier.unlinked
}

never { deadlock }
