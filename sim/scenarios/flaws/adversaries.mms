# Subscribers that do everything they may: one refuses every start that must not block, one is slow, one comes and goes, an
# interval comes and goes too, and a correct mirror works beside them; the callers are those that may not block, those
# that may, and the exit. Both flaws of 6.12 are mended here, so that what an exploration reports is something else: it reports
# nothing. Without `behaviours` the refusals make removals and readers wait for ever. See docs/flaws/README.md.

scenario "adversarial subscribers"

behaviours { undo-refused-start, close-bracket-at-zero }

machine { memory 1M  swap 1M }

mm B { forked }
mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device mirror : interval_mirror(A, 0x10000..0x14000)
device slow : list(A) { on start(range) { if blockable { sleep  sync in_start } }  on end(range) { } }
device refuses : list(A) { on start(range) { if blockable { } else { refuse } } }
device guest : list(A) {
    mutex lock
    on start(range) { if blockable { with lock { zap range } } else { refuse } }
    on release { with lock { zap 0x10000..0x14000 } }
}
device view : interval(A, 0x11000..0x13000) {
    mutex lock
    on invalidate(range) { if blockable { with lock { set_seq  zap range } } else { refuse } }
}

task reaper { process_mrelease A }
task unmap { munmap A 0x12000..0x13000 }
task protect { mprotect A 0x10000..0x12000 r  mprotect A 0x10000..0x12000 rw }
task mem { reclaim A 0x10000..0x12000 }
task fork { fork A B  write A 0x11000  exit B }
task dev { mirror.map 0x10000..0x11000 }
task come { register guest  unregister guest }
task go { register view  unregister view }
