//! The end of an address space. Linux: `exit_mmap()`, mm/mmap.c, 6.12.

use crate::mm::Mm;
use crate::tlb::MmuGather;
use crate::zap::TableBounds;
use ksync::Kernel;
use mm_types::PageRange;
use trace::EventKind;

impl Mm {
    /// The last user left. Subscribers are released; then everything is unmapped inside an UNMAP bracket over
    /// `[0, MAX)`, which interval subscribers still see, with `mmap_lock` held for reading; then tables and pages go.
    pub(crate) fn exit_mmap(&self, k: &Kernel) {
        self.subs.release();
        k.emit(EventKind::MmExit { mm: self.id });
        let read = self.mmap_lock.read();
        let vmas = self.vmas();
        if vmas.is_empty() {
            return;
        }
        let mut tlb = MmuGather::full_mm(self);
        self.unmap_vmas(k, &mut tlb, PageRange::ALL, &vmas);
        drop(read);
        self.exit_oom_victim(k);
        let _write = self.mmap_lock.write();
        self.free_pgtables(k, &mut tlb, &vmas, TableBounds::ALL);
        tlb.finish(k);
        let mut inner = self.inner.lock();
        inner.tree.clear();
        inner.torn_down = true;
    }
}
