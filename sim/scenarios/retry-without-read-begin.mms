# A driver that begins to read once and retries: after one collision the sequence is never again the one it remembers. The
# munmap that collides is of other pages of the subscription, which has one sequence for all. With `read_begin` inside of
# `retry` it is silent, in a quarter of the steps. Without `max_steps` the tool gives up after 64 tries, with EBUSY.

scenario "a retry that does not begin again"

expect { PROG-LIVELOCK }

machine { memory 16M  swap 4M  seed 1  max_steps 200 }

mm A {
    vma 0x10000..0x50000 rw anon
    touch 0x10000..0x14000
}

device toy : interval(A, 0x10000..0x50000) {
    mutex m
    on invalidate(range) {
        with m { set_seq zap range }
    }
    op bind(range) {
        read_begin
        sync begun
        sync on
        retry {
            fault range
            with m { check_retry map range }
        }
    }
}

task dev { toy.bind 0x10000..0x12000 }
task unmap {
    sync go
    munmap A 0x13000..0x14000
    sync done
}

order {
    dev@user.begun < unmap@user.go
    unmap@user.done < dev@user.on
}

never { deadlock, stale }
