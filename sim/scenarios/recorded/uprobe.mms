# A scenario recorded on a running Linux 6.12: tests/data/notifier/scenarios.c, uprobe().
scenario "a breakpoint is put in and taken out"
mm A {
    vma 0x10000000000..0x10000002000 rx file "/ext2/code"
    touch 0x10000000000..0x10000002000
}
device rec : recorder(A)
task main {
    mark "uprobe_events add"
    mark "enable uprobe (insert breakpoint page 0)"
    uprobe_insert "/ext2/code" 0
    mark "call it"
    read A 0x10000000000
    mark "disable uprobe"
    uprobe_remove "/ext2/code" 0
    mark "uprobe_events del"
    mark "exit"
    exit A
}
