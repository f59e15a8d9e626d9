//! A process on a machine without swap; nothing is left of it at the end.

use ksync::{Kernel, KernelConfig};
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Prot, VirtAddr, Vpn};
use mmu_notifier::{Annotations, Framework};
use std::sync::Arc;

/// Page 0 of the cases; a multiple of 1 GiB.
const BASE: Vpn = Vpn(0x1000_0000);

pub(super) const RW: Prot = Prot::READ.union(Prot::WRITE);

pub(super) fn vpn(page: u64) -> Vpn {
    BASE + page
}

pub(super) fn addr(page: u64) -> VirtAddr {
    vpn(page).addr()
}

pub(super) fn range(page: u64, nr_pages: u64) -> PageRange {
    PageRange::with_len(vpn(page), nr_pages).expect("not empty")
}

pub(super) fn bytes(nr_pages: u64) -> u64 {
    nr_pages * PAGE_SIZE
}

pub(super) struct World<'a> {
    pub(super) k: &'a Kernel,
    pub(super) machine: Arc<Machine>,
    pub(super) mm: Arc<Mm>,
}

impl World<'_> {
    pub(super) fn map(&self, page: u64, nr_pages: u64, prot: Prot) {
        self.mm.mmap_anon(range(page, nr_pages), prot).expect("mapped");
    }

    /// Shared memory, or a file: shared, or private.
    pub(super) fn map_file(&self, page: u64, nr_pages: u64, file: FileId, kind: MapFlags) {
        self.try_map_file(page, nr_pages, file, kind, RW).expect("mapped");
    }

    pub(super) fn try_map_file(
        &self,
        page: u64,
        nr_pages: u64,
        file: FileId,
        kind: MapFlags,
        prot: Prot,
    ) -> Result<VirtAddr, Errno> {
        let args = MmapArgs {
            addr: addr(page),
            len_bytes: bytes(nr_pages),
            prot,
            flags: kind | MapFlags::FIXED,
            backing: MmapBacking::File { file, readable: true, writable: true },
            offset_bytes: 0,
        };
        self.mm.mmap(&args)
    }

    /// A memory file of `nr_pages` pages that hold 100, 101 and so on.
    pub(super) fn file(&self, nr_pages: u64) -> FileId {
        let file = self.machine.memfd("file");
        (0..nr_pages).for_each(|page| {
            self.machine.pwrite(file, bytes(page), 100 + page).expect("written");
        });
        self.machine.ftruncate(file, bytes(nr_pages));
        file
    }

    pub(super) fn fork(&self) -> Arc<Mm> {
        self.mm.fork(self.k, Name::new("child")).expect("a child")
    }

    pub(super) fn write(&self, page: u64, value: u64) {
        self.mm.write_page(vpn(page), value).expect("written");
    }

    #[track_caller]
    pub(super) fn assert_reads(&self, page: u64, value: u64) {
        assert_eq!(self.mm.read_page(vpn(page)), Ok(value), "page {page}");
    }

    /// Where the VMAs are, and their flags' letters that matter here.
    pub(super) fn vmas(&self) -> Vec<(u64, u64)> {
        self.mm.vmas().iter().map(|vma| (vma.start() - BASE, vma.end() - BASE)).collect()
    }
}

pub(super) fn in_world(body: impl FnOnce(&World<'_>)) {
    let kernel = Kernel::new(KernelConfig::default());
    let machine = kernel.enter(|k| {
        let config = MachineConfig { swap_bytes: 0, reclaim_by_choice: false, ..MachineConfig::default() };
        let machine = Machine::new(k, config, Framework::new(k, Annotations::default()));
        let mm = machine.new_mm(k, Name::new("process"));
        let world = World { k, machine: Arc::clone(&machine), mm };
        body(&world);
        world.mm.exit();
        machine
    });
    let left = machine.frame_counts();
    assert!(left.allocated == left.page_cache && left.mapped == 0 && left.pinned == 0, "frames are left: {left:?}");
}
