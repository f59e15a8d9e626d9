# Memory runs out and there is no swap: reclaim frees nothing, and the OOM killer chooses the process that has the most, which
# is not the one that asks for more. The reaper unmaps its memory and announces that to the driver in a way that must not block.
# The allocation is served then; the tasks of the process that was killed get no further.

scenario "out of memory: the largest process is killed and reaped"

machine { cpus 2  memory 256K  swap 0  seed 7  oom_killer on }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }
mm H { vma 0x10000..0x90000 rw anon  touch 0x10000..0x30000 }

device gpu0 : interval(H, 0x10000..0x30000) {
    spinlock lock
    on invalidate(range) { with lock { set_seq  zap range } }
    op bind(range) { retry { read_begin  fault range  with lock { check_retry  map range } } }
}

task user { gpu0.bind 0x10000..0x12000  touch A 0x14000..0x2c000 }
task killed { sleep 5  write H 0x10000 1 }

assert {
    callbacks gpu0.invalidate >= 1
    acquired "oom_lock" >= 1
    acquired "oom_reaper_lock" >= 2
    blocked_tasks == 0
}
