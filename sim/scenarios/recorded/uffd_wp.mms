# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, uffd_wp().
scenario "userfaultfd write protection"
mm A {
    vma 0x10000000000..0x10000008000 rw anon
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "uffd register WP [0,8)"
    uffd_register A 0x10000000000..0x10000008000 wp
    mark "UFFDIO_WRITEPROTECT(0,8) set"
    uffd_writeprotect A 0x10000000000..0x10000008000 set
    mark "UFFDIO_WRITEPROTECT(0,4) clear"
    uffd_writeprotect A 0x10000000000..0x10000004000 clear
    mark "write 0..3"
    touch A 0x10000000000..0x10000004000
    mark "UFFDIO_UNREGISTER"
    uffd_unregister A 0x10000000000..0x10000008000
    mark "exit"
    exit A
}
