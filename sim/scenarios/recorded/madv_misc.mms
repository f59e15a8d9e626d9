# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, madv_misc().
scenario "advice and locking that announce nothing, and DONTNEED_LOCKED"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "madvise(0,8,WILLNEED)"
    madvise A 0x10000000000..0x10000008000 MADV_WILLNEED
    mark "madvise(0,8,SEQUENTIAL)"
    madvise A 0x10000000000..0x10000008000 MADV_SEQUENTIAL
    mark "madvise(0,8,DONTFORK)"
    madvise A 0x10000000000..0x10000008000 MADV_DONTFORK
    mark "mlock(0,8)"
    mlock A 0x10000000000..0x10000008000
    mark "munlock(0,8)"
    munlock A 0x10000000000..0x10000008000
    mark "mlock again"
    mlock A 0x10000000000..0x10000008000
    mark "madvise(0,8,DONTNEED_LOCKED)"
    madvise A 0x10000000000..0x10000008000 MADV_DONTNEED_LOCKED
    mark "madvise(0,8,POPULATE_WRITE)"
    madvise A 0x10000000000..0x10000008000 MADV_POPULATE_WRITE
    mark "madvise(0,8,WIPEONFORK)"
    madvise A 0x10000000000..0x10000008000 MADV_WIPEONFORK
    mark "madvise(0,4,GUARD_INSTALL)"
    madvise A 0x10000000000..0x10000004000 MADV_GUARD_INSTALL
    mark "msync anon"
    msync A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
