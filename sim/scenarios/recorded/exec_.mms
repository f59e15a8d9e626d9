# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, exec_().
scenario "execve"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
    vma 0x400000..0x401000 rw anon
}
device rec : recorder(A)
device iv0 : interval_recorder(A, 0x10000000000..0x10000004000)
task main {
    register rec
    register iv0
    mark "execve"
    exec A
    exit A
}
