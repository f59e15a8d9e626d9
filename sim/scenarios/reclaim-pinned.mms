# Reclaim is asked for a page that a device has pinned: it cannot be had, and the run says whose it is (PROG-REQUEST) instead of
# going on as if there had been pressure. Without the pin the page goes.

scenario "reclaim is asked for a pinned page"

expect { PROG-REQUEST }

machine { memory 16M  swap 4M  seed 1 }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device rdma : list(A) { op pin(range) { pin range } }

task user {
    rdma.pin 0x10000..0x11000
    reclaim A 0x10000..0x11000
}

never { deadlock }
