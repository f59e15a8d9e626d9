# The same device, which unregisters before it takes the lock of the table.

scenario "unregistration without the lock that release takes (correct)"

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : list(A) {
    mutex table
    on start(range) { zap range }
    on release { with table { zap 0x10000..0x50000 } }
}

task process { exit A  sync gone }
task close { unregister toy  with toy.table { } }

order { process@user.gone < close@notifier.unregister }
