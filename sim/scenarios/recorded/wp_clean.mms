# Not recorded: a graphics driver (vmwgfx) write-protects the shared mappings of a file. Read in mm/mapping_dirty_helpers.c, 6.12.
scenario "a device looks who writes a file"
mm A {
    vma 0x10000000000..0x10000008000 rw file "/ext2/wp" shared
    vma 0x10000010000..0x10000018000 rw file "/ext2/wp"
    touch 0x10000000000..0x10000008000
}
device rec : recorder(A)
task main {
    mark "wp_shared_mapping_range(2,4)"
    wp_shared "/ext2/wp" 0x2000 0x4000
    mark "exit"
    exit A
}
