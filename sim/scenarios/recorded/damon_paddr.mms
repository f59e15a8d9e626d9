# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, damon_paddr().
scenario "DAMON by frames"
mm A {
    vma 0x10000000000..0x10000040000 rw anon
    touch 0x10000000000..0x10000040000
}
device rec : recorder(A)
task main {
    mark "damon on 800 ms"
    damon A 0x10000000000 paddr mkold
    damon A 0x10000000000 paddr check
    damon A 0x10000007000 paddr mkold
    damon A 0x10000007000 paddr check
    damon A 0x10000014000 paddr mkold
    damon A 0x10000014000 paddr check
    mark "damon off"
    damon A 0x10000007000 paddr check
    mark "exit"
    exit A
}
