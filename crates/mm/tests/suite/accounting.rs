//! Random programs: what was written is read back, and after exit nothing is left.

use crate::common::{Context, World, addr, bytes, pages};
use mm::{FaultError, MachineConfig, Mm, device};
use mm_types::{Pfn, Prot, Vpn};
use proptest::prelude::*;
use rangemap::RangeMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trace::EventKind;

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
}

fn prot() -> impl Strategy<Value = Prot> {
    prop_oneof![
        4 => Just(Prot::READ | Prot::WRITE),
        2 => Just(Prot::READ),
        1 => Just(Prot::empty()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let span = (0..PAGES, 1..12u64).prop_map(|(start, len)| (start, len.min(PAGES - start)));
    prop_oneof![
        3 => (span.clone(), prot()).prop_map(|((s, l), p)| Op::Map(s, l, p)),
        2 => span.clone().prop_map(|(s, l)| Op::Unmap(s, l)),
        2 => (span.clone(), prot()).prop_map(|((s, l), p)| Op::Protect(s, l, p)),
        4 => (0..PAGES).prop_map(Op::Read),
        8 => (0..PAGES, 1..1000u64).prop_map(|(p, tag)| Op::Write(p, tag)),
        3 => span.prop_map(|(s, l)| Op::Reclaim(s, l)),
        2 => (0..PAGES, any::<bool>()).prop_map(|(p, w)| Op::Pin(p, w)),
        1 => Just(Op::Unpin),
    ]
}

/// What the program must see: access by page, and what was written.
#[derive(Default)]
struct Model {
    prot: RangeMap<u64, Prot>,
    tags: BTreeMap<u64, u64>,
    pins: Vec<Pfn>,
}

impl Model {
    fn apply(&mut self, mm: &Arc<Mm>, op: Op) {
        match op {
            Op::Map(start, len, prot) => {
                mm.mmap_anon(pages(start, len), prot).expect("mapped");
                self.forget(start, len);
                self.prot.insert(start..start + len, prot);
            }
            Op::Unmap(start, len) => {
                mm.munmap(addr(start), bytes(len)).expect("unmapped");
                self.forget(start, len);
            }
            Op::Protect(start, len, prot) => {
                let whole = self.prot.gaps(&(start..start + len)).next().is_none();
                let done = mm.mprotect(addr(start), bytes(len), prot);
                assert_eq!(done.is_ok(), whole);
                // Up to the first hole the change has been made.
                let end = self.prot.gaps(&(start..start + len)).next().map_or(start + len, |g| g.start);
                if end > start {
                    self.prot.insert(start..end, prot);
                }
            }
            Op::Read(page) => match self.expect(page, Prot::READ) {
                Ok(vpn) => assert_eq!(mm.read_page(vpn), Ok(self.tags.get(&page).copied().unwrap_or(0))),
                Err(error) => assert_eq!(mm.read_page(pages(page, 1).start()), Err(error)),
            },
            Op::Write(page, tag) => match self.expect(page, Prot::WRITE) {
                Ok(vpn) => {
                    mm.write_page(vpn, tag).expect("written");
                    self.tags.insert(page, tag);
                }
                Err(error) => assert_eq!(mm.write_page(pages(page, 1).start(), tag), Err(error)),
            },
            Op::Reclaim(start, len) => {
                mm.reclaim_pages(pages(start, len));
            }
            Op::Pin(page, write) => {
                let may = self.expect(page, if write { Prot::WRITE } else { Prot::READ }).is_ok();
                let pinned = device::pin_user_pages(mm, pages(page, 1), write);
                assert_eq!(pinned.is_ok(), may);
                self.pins.extend(pinned.unwrap_or_default());
            }
            Op::Unpin => {
                if let Some(pfn) = self.pins.pop() {
                    device::unpin_user_page(mm.machine(), pfn);
                }
            }
        }
    }

    fn forget(&mut self, start: u64, len: u64) {
        self.prot.remove(start..start + len);
        self.tags.retain(|page, _| !(start..start + len).contains(page));
    }

    fn expect(&self, page: u64, needs: Prot) -> Result<Vpn, FaultError> {
        let vpn = pages(page, 1).start();
        match self.prot.get(&page) {
            None => Err(FaultError::NotMapped(vpn)),
            Some(prot) if prot.contains(needs) => Ok(vpn),
            Some(_) => Err(FaultError::NotAllowed(vpn)),
        }
    }
}

/// Every frame is allocated before it is freed, and freed once.
fn check_frame_events(world: &World) {
    let mut live = BTreeSet::new();
    for event in world.events() {
        match event.kind {
            EventKind::FrameAlloc { pfn } => assert!(live.insert(pfn), "{pfn} was given out twice"),
            EventKind::FrameFree { pfn } => assert!(live.remove(&pfn), "{pfn} was freed twice"),
            _ => {}
        }
    }
    assert!(live.is_empty(), "leaked: {live:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn programs_read_what_they_wrote_and_leave_nothing(ops in prop::collection::vec(op(), 1..60)) {
        let config = MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() };
        let world = World::new(config);
        let free = world.machine.frame_counts().free;
        let mm = world.new_mm("a");
        world.run(Context::Task, move || {
            let mut model = Model::default();
            for op in ops {
                model.apply(&mm, op);
            }
            mm.exit();
            for pfn in model.pins {
                device::unpin_user_page(mm.machine(), pfn);
            }
        });
        let counts = world.machine.frame_counts();
        prop_assert_eq!((counts.allocated, counts.pinned, counts.mapped, counts.free), (0, 0, 0, free));
        prop_assert_eq!((world.machine.swap_used(), world.machine.nr_anon_vmas()), (0, 0));
        check_frame_events(&world);
    }
}
