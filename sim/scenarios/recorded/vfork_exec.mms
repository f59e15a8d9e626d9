# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, vfork_exec().
scenario "vfork announces nothing"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "vfork+exit"
    mark "exit"
    exit A
}
