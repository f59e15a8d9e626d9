# The exit of the process calls `release`, which takes the lock of the table. Closing the device unregisters under that
# lock: harmless after the exit, since nobody is left to be called. While the process lives it waits for itself.

scenario "unregistration under the lock that release takes"

expect { LD-CIRCULAR }
annotations { other_callbacks own }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x20000 }

device toy : list(A) {
    mutex table
    on start(range) { zap range }
    on release { with table { zap 0x10000..0x50000 } }
}

task process { exit A  sync gone }
task close { with toy.table { unregister toy } }

order { process@user.gone < close@toy.table }
