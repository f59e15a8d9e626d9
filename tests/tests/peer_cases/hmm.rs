//! A device that mirrors an address space through `hmm_range_fault()`, and moves pages to memory of its own.

use super::world::{RW, World, addr, bytes, in_world, range, vpn};
use mm::vma::{MapFlags, MmapArgs, MmapBacking, MremapFlags};
use mm::{Advice, Direction, Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn, Prot, PteKind, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, MmHost, Subscriptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use trace::{AccessModel, NotifyRange};

type Entries = Mutex<BTreeMap<Vpn, (Pfn, bool)>>;

/// What is told of invalidations.
struct Table {
    entries: Entries,
}

impl IntervalNotifier for Table {
    fn name(&self) -> Name {
        Name::new("mirror")
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        sub.set_seq(cur_seq);
        self.entries.lock().expect("one thread").retain(|vpn, _| !range.pages.contains(*vpn));
        true
    }
}

/// One open file of the device.
struct Mirror {
    mm: Arc<Mm>,
    table: Arc<Table>,
    sub: Arc<IntervalSub>,
    /// How often a range was faulted in.
    faults: u64,
}

impl Mirror {
    fn open(mm: &Arc<Mm>) -> Mirror {
        let table = Arc::new(Table { entries: Mutex::default() });
        let host: &dyn MmHost = &**mm;
        let _: MmId = mm.id();
        let sub = Subscriptions::interval_insert(host, range(0, 1 << 20), table.clone()).expect("inserted");
        Mirror { mm: Arc::clone(mm), table, sub, faults: 0 }
    }

    /// The pages of its memory go back to where the process finds them.
    fn close(self) {
        for vma in self.mm.vmas() {
            let _: Result<u64, Errno> = self.mm.migrate_vma(vma.range(), Direction::ToSystem);
        }
        let host: &dyn MmHost = &*self.mm;
        Subscriptions::interval_remove(host, &self.sub);
    }

    fn mirrored(&self) -> usize {
        self.table.entries.lock().expect("one thread").len()
    }

    fn fault(&mut self, pages: PageRange, write: bool) -> Result<(), Errno> {
        self.faults += 1;
        loop {
            let seq = self.mm.subscriptions().read_begin(&self.sub);
            match device::hmm_range_fault(&self.mm, &self.sub, seq, pages, write) {
                Ok(found) => {
                    if !self.sub.read_retry(seq) {
                        let all = found.into_iter().map(|page| (page.vpn, (page.pfn, page.writable)));
                        self.table.entries.lock().expect("one thread").extend(all);
                        return Ok(());
                    }
                }
                Err(device::HmmError::Busy) => {}
                Err(device::HmmError::Errno(errno)) => return Err(errno),
            }
        }
    }

    /// The frame to use for a page, its own memory included.
    fn frame(&mut self, page: u64, pages: PageRange, write: bool) -> Result<Pfn, Errno> {
        let at = vpn(page);
        if let PteKind::DevicePrivate { pfn } = self.mm.pte(at).kind() {
            return Ok(pfn);
        }
        let known = |mirror: &Mirror| {
            let entries = mirror.table.entries.lock().expect("one thread");
            entries.get(&at).filter(|(_, writable)| *writable || !write).map(|(pfn, _)| *pfn)
        };
        if known(self).is_none() {
            self.fault(pages, write)?;
        }
        known(self).ok_or(Errno::EFAULT)
    }

    fn read(&mut self, page: u64, nr_pages: u64) -> Result<Vec<u64>, Errno> {
        let pages = range(page, nr_pages);
        (page..page + nr_pages)
            .map(|page| self.frame(page, pages, false).map(|pfn| device::frame_read(self.mm.machine(), pfn)))
            .collect()
    }

    /// Writes `first`, `first + 1` and so on.
    fn write(&mut self, page: u64, nr_pages: u64, first: u64) -> Result<(), Errno> {
        let pages = range(page, nr_pages);
        for i in 0..nr_pages {
            let pfn = self.frame(page + i, pages, true)?;
            device::frame_write(self.mm.machine(), pfn, first + i);
        }
        Ok(())
    }

    /// How many pages moved; none is an error.
    fn migrate(&self, page: u64, nr_pages: u64) -> Result<u64, Errno> {
        match self.mm.migrate_vma(range(page, nr_pages), Direction::ToDevice)? {
            0 => Err(Errno::ENOENT),
            moved => Ok(moved),
        }
    }

    fn migrate_back(&self, page: u64, nr_pages: u64) -> u64 {
        self.mm.migrate_vma(range(page, nr_pages), Direction::ToSystem).expect("moved")
    }
}

fn fill(w: &World<'_>, page: u64, nr_pages: u64) {
    (page..page + nr_pages).for_each(|page| w.write(page, 50 + page));
}

fn filled(page: u64, nr_pages: u64) -> Vec<u64> {
    (page..page + nr_pages).map(|page| 50 + page).collect()
}

#[track_caller]
fn assert_filled(w: &World<'_>, page: u64, nr_pages: u64) {
    (page..page + nr_pages).for_each(|page| w.assert_reads(page, 50 + page));
}

fn letters(w: &World<'_>, page: u64, nr_pages: u64) -> String {
    (page..page + nr_pages).map(|page| w.mm.page_state(vpn(page))).collect()
}

fn with_mirror(body: impl FnOnce(&World<'_>, &mut Mirror)) {
    in_world(|w| {
        let mut mirror = Mirror::open(&w.mm);
        body(w, &mut mirror);
        mirror.close();
    });
}

pub(super) fn open_close() {
    with_mirror(|w, mirror| {
        assert_eq!(mirror.mirrored(), 0);
        Mirror::open(&w.mm).close();
    });
}

pub(super) fn anon_read() {
    with_mirror(|w, mirror| {
        w.map(0, 6, RW);
        w.assert_reads(1, 0);
        fill(w, 2, 4);
        w.mm.mprotect(addr(2), bytes(2), Prot::READ).expect("read-only");
        assert_eq!(mirror.read(0, 6), Ok([vec![0, 0], filled(2, 4)].concat()));
        assert_eq!((mirror.faults, mirror.mirrored()), (1, 6));
    });
}

pub(super) fn anon_read_prot() {
    with_mirror(|w, mirror| {
        w.map(0, 2, RW);
        fill(w, 0, 2);
        w.mm.mprotect(addr(0), bytes(2), Prot::empty()).expect("no access");
        assert_eq!(mirror.read(0, 2), Err(Errno::EFAULT));
        assert_eq!(mirror.mirrored(), 0);
        w.mm.mprotect(addr(0), bytes(2), RW).expect("all access");
        assert_filled(w, 0, 2);
    });
}

pub(super) fn anon_write() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        mirror.write(0, 4, 50).expect("written");
        assert_eq!(mirror.faults, 1);
        assert_filled(w, 0, 4);
    });
}

pub(super) fn anon_write_prot() {
    with_mirror(|w, mirror| {
        w.map(0, 2, Prot::READ);
        w.assert_reads(0, 0);
        assert_eq!(mirror.read(0, 1), Ok(vec![0]));
        assert_eq!(mirror.write(0, 2, 50), Err(Errno::EPERM));
        w.assert_reads(0, 0);
        w.mm.mprotect(addr(0), bytes(2), RW).expect("writable");
        mirror.write(0, 2, 50).expect("written, and the zero page replaced");
        assert_filled(w, 0, 2);
    });
}

pub(super) fn anon_write_child() {
    for (migrated, huge) in [(false, false), (false, true), (true, false), (true, true)] {
        in_world(|w| {
            w.map(512, 512, RW);
            if huge {
                w.mm.madvise(addr(512), bytes(512), Advice::HugePage).expect("advised");
            }
            fill(w, 512, 8);
            let parent = Mirror::open(&w.mm);
            if migrated {
                parent.migrate(512, 8).expect("moved");
            }
            let child = w.fork();
            let mut mirror = Mirror::open(&child);
            let _: Vec<u64> = (512..520).map(|page| child.read_page(vpn(page)).expect("read")).collect();
            mirror.write(512, 8, 900).expect("written");
            assert_eq!(mirror.read(512, 8), Ok((900..908).collect()));
            assert_filled(w, 512, 8);
            (0..8).for_each(|i| assert_eq!(child.read_page(vpn(512 + i)), Ok(900 + i)));
            mirror.close();
            child.exit();
            parent.close();
        });
    }
}

pub(super) fn anon_write_child_shared() {
    in_world(|w| {
        let args = MmapArgs {
            addr: addr(0),
            len_bytes: bytes(4),
            prot: RW,
            flags: MapFlags::SHARED | MapFlags::ANONYMOUS | MapFlags::FIXED,
            backing: MmapBacking::None,
            offset_bytes: 0,
        };
        w.mm.mmap(&args).expect("mapped");
        w.write(0, 1);
        let child = w.fork();
        let mut mirror = Mirror::open(&child);
        mirror.write(0, 4, 50).expect("written");
        assert_filled(w, 0, 4);
        mirror.close();
        child.exit();
    });
}

pub(super) fn anon_write_huge() {
    with_mirror(|w, mirror| {
        w.map(512, 512, RW);
        w.mm.madvise(addr(512), bytes(512), Advice::HugePage).expect("advised");
        mirror.write(512, 512, 562).expect("written");
        assert_eq!(letters(w, 512, 2), "WW");
        assert_filled(w, 512, 512);
    });
}

pub(super) fn file_read() {
    with_mirror(|w, mirror| {
        let file = w.file(4);
        w.map_file(0, 4, file, MapFlags::SHARED);
        assert_eq!(mirror.read(0, 4), Ok(vec![100, 101, 102, 103]));
    });
}

pub(super) fn file_write() {
    with_mirror(|w, mirror| {
        let file = w.file(4);
        w.map_file(0, 4, file, MapFlags::SHARED);
        w.map_file(10, 4, file, MapFlags::SHARED);
        mirror.write(0, 4, 60).expect("written");
        (0..4).for_each(|i| w.assert_reads(10 + i, 60 + i));
    });
}

pub(super) fn migrate() {
    with_mirror(|w, mirror| {
        w.map(0, 8, RW);
        fill(w, 0, 8);
        assert_eq!(mirror.migrate(0, 8), Ok(8));
        assert_eq!(letters(w, 0, 8), "dddddddd");
        assert_eq!(mirror.read(0, 8), Ok(filled(0, 8)));
        assert_eq!(mirror.faults, 0, "its own memory");
    });
}

pub(super) fn migrate_file_private() {
    with_mirror(|w, mirror| {
        let file = w.file(4);
        w.map_file(0, 4, file, MapFlags::PRIVATE);
        fill(w, 0, 4);
        assert_eq!(mirror.migrate(0, 4), Ok(4));
        assert_eq!(mirror.read(0, 4), Ok(filled(0, 4)));
    });
}

pub(super) fn migrate_fault() {
    with_mirror(|w, mirror| {
        w.map(0, 8, RW);
        fill(w, 0, 8);
        assert_eq!(mirror.migrate(0, 8), Ok(8));
        assert_filled(w, 0, 4);
        assert_eq!(letters(w, 0, 8), "wwwwdddd");
        mirror.migrate(0, 8).expect("the other half again");
        assert_eq!(letters(w, 0, 8), "dddddddd");
        assert_eq!(mirror.read(0, 8), Ok(filled(0, 8)));
    });
}

pub(super) fn migrate_release() {
    in_world(|w| {
        let mirror = Mirror::open(&w.mm);
        w.map(0, 8, RW);
        fill(w, 0, 8);
        assert_eq!(mirror.migrate(0, 8), Ok(8));
        mirror.close();
        assert_eq!(letters(w, 0, 8), "wwwwwwww");
        assert_filled(w, 0, 8);
    });
}

pub(super) fn migrate_shared() {
    with_mirror(|w, mirror| {
        let file = w.file(4);
        w.map_file(0, 4, file, MapFlags::SHARED);
        w.assert_reads(0, 100);
        assert_eq!(mirror.migrate(0, 4), Err(Errno::ENOENT));
        w.assert_reads(0, 100);
    });
}

pub(super) fn migrate_multiple() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        for _ in 0..10 {
            assert_eq!(mirror.migrate(0, 4), Ok(4));
            assert_eq!(mirror.migrate_back(0, 4), 4);
        }
        assert_filled(w, 0, 4);
    });
}

pub(super) fn anon_read_multiple() {
    with_mirror(|w, mirror| {
        for round in 0..10 {
            w.map(round * 8, 4, RW);
            fill(w, round * 8, 4);
            assert_eq!(mirror.read(round * 8, 4), Ok(filled(round * 8, 4)));
            w.mm.munmap(addr(round * 8), bytes(4)).expect("unmapped");
            assert_eq!(mirror.mirrored(), 0);
        }
    });
}

pub(super) fn anon_teardown() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        assert_eq!(mirror.read(0, 4), Ok(filled(0, 4)));
        w.mm.munmap(addr(2), bytes(2)).expect("unmapped");
        assert_eq!(mirror.read(0, 2), Ok(filled(0, 2)));
        assert_eq!(mirror.read(0, 4), Err(Errno::EFAULT));
    });
}

pub(super) fn double_map() {
    in_world(|w| {
        let (mut one, mut two) = (Mirror::open(&w.mm), Mirror::open(&w.mm));
        w.map(0, 4, RW);
        fill(w, 0, 4);
        assert_eq!((one.read(0, 4), two.read(0, 4)), (Ok(filled(0, 4)), Ok(filled(0, 4))));
        assert_eq!(one.migrate(0, 4), Ok(4));
        assert_eq!(two.mirrored(), 0, "told of the migration");
        two.fault(range(0, 4), false).expect("faulted back");
        assert_eq!(two.read(0, 4), Ok(filled(0, 4)));
        assert_eq!(one.read(0, 4), Ok(filled(0, 4)));
        one.close();
        two.close();
    });
}

pub(super) fn exclusive() {
    with_mirror(|w, _| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        assert_eq!(w.mm.make_device_exclusive(range(0, 4), None).map(|got| got.len()), Ok(4));
        assert_eq!(letters(w, 0, 4), "eeee");
        w.assert_reads(0, 50);
        w.write(1, 51);
        assert_eq!(letters(w, 0, 4), "wwee");
        assert_filled(w, 0, 4);
    });
}

pub(super) fn exclusive_mprotect() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        w.mm.make_device_exclusive(range(0, 4), None).expect("exclusive");
        w.mm.mprotect(addr(0), bytes(4), Prot::READ).expect("read-only");
        assert_eq!(mirror.write(0, 4, 900), Err(Errno::EPERM));
        assert_filled(w, 0, 4);
    });
}

pub(super) fn exclusive_cow() {
    with_mirror(|w, _| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        w.mm.make_device_exclusive(range(0, 4), None).expect("exclusive");
        let child = w.fork();
        w.write(0, 900);
        child.write_page(vpn(1), 901).expect("written");
        assert_eq!(child.read_page(vpn(0)), Ok(50));
        w.assert_reads(0, 900);
        assert_filled(w, 1, 3);
        child.exit();
    });
}

pub(super) fn gup_of_device_pages() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        assert_eq!(mirror.migrate(0, 4), Ok(4));
        let pinned = device::pin_user_pages_longterm(&w.mm, range(0, 4), true).expect("pinned");
        assert_eq!(letters(w, 0, 4), "wwww");
        let read: Vec<u64> = pinned.iter().map(|pfn| device::frame_read(&w.machine, *pfn)).collect();
        assert_eq!(read, filled(0, 4));
        assert_eq!(mirror.migrate(0, 4), Err(Errno::ENOENT), "pinned pages stay");
        pinned.into_iter().for_each(|pfn| device::unpin_user_page(&w.machine, pfn));
        assert_eq!(mirror.migrate(0, 4), Ok(4));
    });
}

pub(super) fn cow_in_device() {
    with_mirror(|w, mirror| {
        w.map(0, 4, RW);
        fill(w, 0, 4);
        assert_eq!(mirror.migrate(0, 4), Ok(4));
        let child = w.fork();
        (0..4).for_each(|page| w.write(page, 900 + page));
        assert_eq!(letters(w, 0, 4), "wwww", "copies in memory");
        (0..4).for_each(|page| assert_eq!(child.read_page(vpn(page)), Ok(50 + page)));
        child.exit();
    });
}

fn huge_or_not(w: &World<'_>, huge: bool) {
    w.map(512, 512, RW);
    if huge {
        w.mm.madvise(addr(512), bytes(512), Advice::HugePage).expect("advised");
    }
    fill(w, 512, 512);
}

pub(super) fn partial_unmap_fault() {
    for (huge, from) in [(false, 512), (false, 640), (false, 768), (true, 512), (true, 640), (true, 768)] {
        with_mirror(|w, mirror| {
            huge_or_not(w, huge);
            assert_eq!(mirror.migrate(512, 512), Ok(512));
            w.mm.munmap(addr(from), bytes(256)).expect("unmapped");
            for page in (512..1024).filter(|page| !(from..from + 256).contains(page)) {
                w.assert_reads(page, 50 + page);
            }
        });
    }
}

pub(super) fn remap_fault() {
    let places = [2048, 2048 + 128, 2048 + 256];
    for (before, keep, huge) in (0..8).map(|n| (n & 1 != 0, n & 2 != 0, n & 4 != 0)) {
        for to in places {
            with_mirror(|w, mirror| {
                huge_or_not(w, huge);
                if !before {
                    assert_eq!(mirror.migrate(512, 512), Ok(512));
                }
                let keep = if keep { MremapFlags::DONTUNMAP } else { MremapFlags::empty() };
                let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED | keep;
                w.mm.mremap(addr(512), bytes(512), bytes(512), flags, Some(addr(to)), None).expect("moved");
                if before {
                    assert_eq!(mirror.migrate(to, 512), Ok(512));
                }
                (0..512).for_each(|i| w.assert_reads(to + i, 562 + i));
            });
        }
    }
}
