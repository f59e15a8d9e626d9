# A flaw of Linux 6.12, recorded on a running one: a list subscriber refuses a start that must not block, which it may. The
# interval subscribers were told before it, and the count of open brackets stays raised for ever: the removal of an
# interval that was met waits for an end that never comes. PROG-DEADLOCK; silent with `behaviours { undo-refused-start }`.
# See docs/flaws/refused-start.md.

scenario "a refused start, and a removal that never returns"

expect { PROG-DEADLOCK }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device mirror : interval(A, 0x10000..0x14000) {
    spinlock lock
    on invalidate(range) { with lock { set_seq  zap range } }
}
device refuses : list(A) { on start(range) { if blockable { } else { refuse } } }

task reaper { process_mrelease A  unregister mirror }
