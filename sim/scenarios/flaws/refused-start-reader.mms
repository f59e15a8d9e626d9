# The same flaw seen from a reader: nobody removes anything, and the next fault of the device never returns.
# See docs/flaws/refused-start.md.

scenario "a refused start, and a reader that never returns"

expect { PROG-DEADLOCK }

mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }

device mirror : interval_mirror(A, 0x10000..0x14000)
device refuses : list(A) { on start(range) { if blockable { } else { refuse } } }

task reaper { process_mrelease A  sync refused }
task dev { sync go  mirror.map 0x10000..0x11000 }

order { reaper@user.refused < dev@user.go }
