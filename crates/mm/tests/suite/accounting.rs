//! Random programs of several processes: what each wrote it reads back, and after the last exit nothing is left.
//!
//! Which mistakes of the memory manager it was seen to find is listed in `flat.rs`.

use crate::common::{Context, World, addr, bytes, check_frame_events, pages};
use mm::vma::MremapFlags;
use mm::{Advice, FaultError, MachineConfig, Mm, ZERO_PAGE, device};
use mm_types::{Errno, Name, Pfn, Prot, Vpn};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const PAGES: u64 = 48;

#[derive(Clone, Copy, Debug)]
enum Op {
    Map(u64, u64, Prot),
    Unmap(u64, u64),
    Protect(u64, u64, Prot),
    Read(u64),
    Write(u64, u64),
    Reclaim(u64, u64),
    Pin(u64, bool),
    Unpin,
    /// A reference without a pin: reclaim may unmap the page, and not free it.
    Hold(u64),
    /// All of those are given up.
    LetGo,
    /// From, pages, to; whether the old mapping stays.
    Move(u64, u64, u64, bool),
    /// From, pages before and after.
    Resize(u64, u64, u64),
    Advise(u64, u64, Advice),
    Fork,
    Exit,
    /// Another process goes on.
    Switch(prop::sample::Index),
}

fn prot() -> impl Strategy<Value = Prot> {
    prop_oneof![
        4 => Just(Prot::READ | Prot::WRITE),
        2 => Just(Prot::READ),
        1 => Just(Prot::empty()),
    ]
}

fn advice() -> impl Strategy<Value = Advice> {
    prop_oneof![
        4 => Just(Advice::DontNeed),
        4 => Just(Advice::Free),
        2 => Just(Advice::PageOut),
        1 => Just(Advice::Cold),
        1 => Just(Advice::DontFork),
        1 => Just(Advice::DoFork),
        1 => Just(Advice::WipeOnFork),
        1 => Just(Advice::KeepOnFork),
        1 => Just(Advice::Sequential),
        3 => Just(Advice::GuardInstall),
        2 => Just(Advice::GuardRemove),
    ]
}

/// Often one of a few, so that what happens to a page happens to one that something has happened to.
fn page() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0..6u64, 1 => 0..PAGES]
}

fn op() -> impl Strategy<Value = Op> {
    let span = (0..PAGES, 1..12u64).prop_map(|(start, len)| (start, len.min(PAGES - start)));
    prop_oneof![
        3 => (span.clone(), prot()).prop_map(|((s, l), p)| Op::Map(s, l, p)),
        2 => span.clone().prop_map(|(s, l)| Op::Unmap(s, l)),
        2 => (span.clone(), prot()).prop_map(|((s, l), p)| Op::Protect(s, l, p)),
        4 => page().prop_map(Op::Read),
        8 => (page(), 1..1000u64).prop_map(|(p, tag)| Op::Write(p, tag)),
        3 => span.clone().prop_map(|(s, l)| Op::Reclaim(s, l)),
        2 => (page(), any::<bool>()).prop_map(|(p, w)| Op::Pin(p, w)),
        1 => Just(Op::Unpin),
        2 => page().prop_map(Op::Hold),
        1 => Just(Op::LetGo),
        4 => (span.clone(), 0..PAGES - 12, any::<bool>()).prop_map(|((s, l), to, keep)| Op::Move(s, l, to, keep)),
        1 => (span.clone(), 1..12u64).prop_map(|((s, l), new)| Op::Resize(s, l, new.min(PAGES - s))),
        3 => (span, advice()).prop_map(|((s, l), a)| Op::Advise(s, l, a)),
        2 => Just(Op::Fork),
        1 => Just(Op::Exit),
        2 => any::<prop::sample::Index>().prop_map(Op::Switch),
    ]
}

/// What is known of a mapped page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    prot: Prot,
    tag: u64,
    /// It may have become 0.
    lazy: bool,
    dont_fork: bool,
    wipe_on_fork: bool,
    guard: bool,
}

/// What one process must see.
#[derive(Clone)]
struct Process {
    mm: Arc<Mm>,
    pages: BTreeMap<u64, Page>,
}

impl Process {
    fn apply(&mut self, op: Op) {
        let mm = Arc::clone(&self.mm);
        match op {
            Op::Map(start, len, prot) => {
                mm.mmap_anon(pages(start, len), prot).expect("mapped");
                let page = Page { prot, tag: 0, lazy: false, dont_fork: false, wipe_on_fork: false, guard: false };
                self.pages.extend((start..start + len).map(|n| (n, page)));
            }
            Op::Unmap(start, len) => {
                mm.munmap(addr(start), bytes(len)).expect("unmapped");
                self.forget(start..start + len);
            }
            Op::Protect(start, len, prot) => {
                let done = mm.mprotect(addr(start), bytes(len), prot);
                assert_eq!(done.is_ok(), self.is_mapped(start..start + len));
                // Up to the first hole the change has been made.
                for n in start..start + len {
                    let Some(page) = self.pages.get_mut(&n) else { break };
                    page.prot = prot;
                }
            }
            Op::Read(n) => self.read(n),
            Op::Write(n, tag) => match self.may(n, Prot::WRITE) {
                Ok(vpn) => {
                    mm.write_page(vpn, tag).expect("written");
                    self.set(n, |page| (page.tag, page.lazy) = (tag, false));
                }
                Err(error) => assert_eq!(mm.write_page(pages(n, 1).start(), tag), Err(error)),
            },
            Op::Reclaim(start, len) => {
                mm.reclaim_pages(pages(start, len));
            }
            Op::Move(start, len, to, keep) => self.relocate(start, len, to, keep),
            Op::Resize(start, old, new) => self.resize(start, old, new),
            Op::Advise(start, len, advice) => self.advise(start..start + len, advice),
            Op::Pin(..) | Op::Unpin | Op::Hold(_) | Op::LetGo | Op::Fork | Op::Exit | Op::Switch(_) => {
                unreachable!("not of one process")
            }
        }
    }

    fn read(&mut self, n: u64) {
        let read = self.mm.read_page(pages(n, 1).start());
        match self.may(n, Prot::READ) {
            Ok(_) => {
                let page = self.pages[&n];
                let tag = read.expect("read");
                assert!(tag == page.tag || (page.lazy && tag == 0), "page {n}: {tag} is read, {page:?}");
                self.set(n, |page| page.tag = tag);
            }
            Err(error) => assert_eq!(read, Err(error)),
        }
    }

    fn relocate(&mut self, start: u64, len: u64, to: u64, keep: bool) {
        let mut flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        flags.set(MremapFlags::DONTUNMAP, keep);
        let mapped = self.pages.contains_key(&start);
        let done = self.mm.mremap(addr(start), bytes(len), bytes(len), flags, Some(addr(to)), None);
        let expected = if start < to + len && to < start + len {
            Err(Errno::EINVAL)
        } else if !mapped {
            Err(Errno::EFAULT)
        } else {
            Ok(addr(to))
        };
        assert_eq!(done, expected);
        if done.is_err() {
            return;
        }
        // Holes in the range are kept where they are: what is mapped at their places is not replaced.
        for n in start..start + len {
            let Some(page) = self.pages.remove(&n) else { continue };
            self.pages.insert(to + n - start, page);
            if keep {
                self.pages.insert(n, Page { tag: 0, lazy: false, guard: false, ..page });
            }
        }
    }

    fn resize(&mut self, start: u64, old: u64, new: u64) {
        let before = self.mm.vmas();
        let ends_here = before.iter().any(|v| v.end() == pages(start, old).end());
        let free = (start + old..start + new).all(|n| !self.pages.contains_key(&n));
        let first = self.pages.get(&start).copied();
        let expected = match first {
            None => Err(Errno::EFAULT),
            Some(_) if new <= old => Ok(addr(start)),
            Some(_) if !self.is_one_vma(start, old) => Err(Errno::EFAULT),
            Some(_) if ends_here && free => Ok(addr(start)),
            Some(_) => Err(Errno::ENOMEM),
        };
        let done = self.mm.mremap(addr(start), bytes(old), bytes(new), MremapFlags::empty(), None, None);
        assert_eq!(done, expected);
        if let (Ok(_), Some(first)) = (done, first) {
            self.forget(start + new..start + old);
            let page = Page { tag: 0, lazy: false, guard: false, ..first };
            self.pages.extend((start + old..start + new).map(|n| (n, page)));
        }
    }

    fn advise(&mut self, range: Range<u64>, advice: Advice) {
        let done = self.mm.madvise(addr(range.start), bytes(range.end - range.start), advice);
        assert_eq!(done, if self.is_mapped(range.clone()) { Ok(()) } else { Err(Errno::ENOMEM) });
        for page in self.pages.range_mut(range).map(|(_, page)| page) {
            match advice {
                Advice::DontNeed => (page.tag, page.lazy) = (0, false),
                Advice::Free => page.lazy = true,
                Advice::DontFork => page.dont_fork = true,
                Advice::DoFork => page.dont_fork = false,
                Advice::WipeOnFork => page.wipe_on_fork = true,
                Advice::KeepOnFork => page.wipe_on_fork = false,
                Advice::GuardInstall => (page.tag, page.lazy, page.guard) = (0, false, true),
                Advice::GuardRemove => page.guard = false,
                _ => {}
            }
        }
    }

    fn fork(&self) -> Process {
        let mm = ksync::current(|k| self.mm.fork(k, Name::new("child"))).expect("forked");
        let inherited = self.pages.iter().filter(|(_, page)| !page.dont_fork).map(|(n, page)| {
            let wiped = Page { tag: 0, lazy: false, guard: false, ..*page };
            (*n, if page.wipe_on_fork { wiped } else { *page })
        });
        Process { mm, pages: inherited.collect() }
    }

    /// Reads every page that may be read.
    fn check(&mut self) {
        for n in 0..PAGES {
            self.read(n);
        }
    }

    fn is_one_vma(&self, start: u64, len: u64) -> bool {
        self.mm.vmas().iter().any(|v| v.range().covers(pages(start, len)))
    }

    fn is_mapped(&self, mut range: Range<u64>) -> bool {
        range.all(|n| self.pages.contains_key(&n))
    }

    fn forget(&mut self, range: Range<u64>) {
        self.pages.retain(|n, _| !range.contains(n));
    }

    fn set(&mut self, n: u64, f: impl FnOnce(&mut Page)) {
        f(self.pages.get_mut(&n).expect("mapped"));
    }

    fn may(&self, n: u64, needs: Prot) -> Result<Vpn, FaultError> {
        let vpn = pages(n, 1).start();
        match self.pages.get(&n) {
            None => Err(FaultError::NotMapped(vpn)),
            Some(page) if !page.prot.contains(needs) => Err(FaultError::NotAllowed(vpn)),
            Some(page) if page.guard => Err(FaultError::Guard(vpn)),
            Some(_) => Ok(vpn),
        }
    }
}

struct System {
    processes: Vec<Process>,
    /// Which runs.
    current: usize,
    pins: Vec<Pfn>,
    /// Referenced, without a pin.
    held: Vec<Pfn>,
}

impl System {
    fn apply(&mut self, op: Op) {
        let last = self.processes.len() == 1;
        let process = &mut self.processes[self.current];
        match op {
            Op::Pin(n, write) => {
                let may = process.may(n, if write { Prot::WRITE } else { Prot::READ }).is_ok();
                let pinned = device::pin_user_pages(&process.mm, pages(n, 1), write);
                assert_eq!(pinned.is_ok(), may);
                self.pins.extend(pinned.unwrap_or_default());
            }
            Op::Unpin => {
                if let Some(pfn) = self.pins.pop() {
                    device::unpin_user_page(process.mm.machine(), pfn);
                }
            }
            Op::Hold(n) => {
                let got = device::get_user_pages(&process.mm, pages(n, 1), false);
                assert_eq!(got.is_ok(), process.may(n, Prot::READ).is_ok());
                self.held.extend(got.unwrap_or_default());
            }
            Op::LetGo => {
                self.held.drain(..).for_each(|pfn| device::put_user_page(process.mm.machine(), pfn));
            }
            Op::Fork => {
                let child = process.fork();
                self.processes.push(child);
            }
            Op::Exit if last => {}
            Op::Exit => {
                process.check();
                self.processes.remove(self.current).mm.exit();
                self.current = 0;
            }
            Op::Switch(index) => self.current = index.index(self.processes.len()),
            _ => process.apply(op),
        }
    }

    fn finish(self) {
        let first = Arc::clone(&self.processes[0].mm);
        for mut process in self.processes {
            process.check();
            process.mm.exit();
        }
        let machine = first.machine();
        // The zero page is counted by nobody.
        let held: BTreeSet<Pfn> = self.pins.iter().chain(&self.held).copied().filter(|pfn| *pfn != ZERO_PAGE).collect();
        assert_eq!(
            machine.frame_counts().allocated,
            held.len() as u64,
            "what somebody holds, and nothing else, is in use"
        );
        self.pins.into_iter().for_each(|pfn| device::unpin_user_page(machine, pfn));
        self.held.into_iter().for_each(|pfn| device::put_user_page(machine, pfn));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]
    #[test]
    fn programs_read_what_they_wrote_and_leave_nothing(ops in prop::collection::vec(op(), 1..80)) {
        let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
        let world = World::new(config);
        let free = world.machine.frame_counts().free;
        let mm = world.new_mm("a");
        world.run(Context::Task, move || {
            let first = Process { mm, pages: BTreeMap::new() };
            let mut system = System { processes: vec![first], current: 0, pins: Vec::new(), held: Vec::new() };
            let all = Op::Map(0, PAGES, Prot::READ | Prot::WRITE);
            for op in std::iter::once(all).chain(ops) {
                system.apply(op);
            }
            system.finish();
        });
        let counts = world.machine.frame_counts();
        prop_assert_eq!((counts.allocated, counts.pinned, counts.mapped, counts.free), (0, 0, 0, free));
        prop_assert_eq!((world.machine.swap_used(), world.machine.nr_anon_vmas()), (0, 0));
        check_frame_events(&world);
    }
}
