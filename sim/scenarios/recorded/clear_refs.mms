# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, clear_refs().
scenario "clear_refs"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
    vma 0x10000010000..0x10000014000 rw anon shared
    touch 0x10000010000..0x10000014000
}
device rec : recorder(A)
task main {
    mark "clear_refs=4 soft-dirty"
    clear_refs A 4
    mark "write 0"
    write A 0x10000000000
    mark "clear_refs=1"
    clear_refs A 1
    mark "clear_refs=2"
    clear_refs A 2
    mark "clear_refs=3"
    clear_refs A 3
    mark "clear_refs=5"
    clear_refs A 5
    mark "exit"
    exit A
}
