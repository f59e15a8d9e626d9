//! Device-exclusive pages of a huge page, as 6.12 makes them.

use crate::common::{ARENA, Context, World, addr, bytes, pages, register};
use crate::recorded::RW;
use mm::{Advice, MachineConfig, Mm};
use mm_types::{PteKind, Vpn};
use trace::{EventKind, NotifyEvent};

const HUGE: u64 = 512;

fn exclusive(mm: &Mm) -> Vec<Vpn> {
    pages(0, HUGE).iter().filter(|vpn| matches!(mm.pte(*vpn).kind(), PteKind::DeviceExclusive { .. })).collect()
}

fn with_a_huge_page(body: impl FnOnce(&Mm) + Clone + 'static) -> Vec<Vec<(NotifyEvent, u64)>> {
    let runs = [Context::Setup, Context::Task].map(|context| {
        let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
        let mm = world.new_mm("a");
        let body = body.clone();
        world.run(context, move || {
            mm.mmap_anon(pages(0, HUGE), RW).expect("mapped");
            mm.madvise(addr(0), bytes(HUGE), Advice::HugePage).expect("advised");
            (0..HUGE).for_each(|page| mm.write_page(ARENA + page, page + 1).expect("written"));
            register(&mm, 1);
            body(&mm);
            (0..HUGE).for_each(|page| assert_eq!(mm.read_page(ARENA + page), Ok(page + 1)));
            assert_eq!(exclusive(&mm), []);
            mm.exit();
            let counts = mm.machine().frame_counts();
            assert_eq!((counts.allocated, counts.mapped), (0, 0));
        });
        let of = |kind: &EventKind| match kind {
            EventKind::RangeStart { range, .. } => Some((range.event, range.pages.nr_pages())),
            _ => None,
        };
        world.events().iter().filter_map(|event| of(&event.kind)).collect()
    });
    runs.into()
}

#[test]
fn all_of_it_becomes_exclusive_and_the_first_page_is_what_the_device_gets() {
    let runs = with_a_huge_page(|mm| {
        assert_eq!(mm.make_device_exclusive(pages(0, 4), None), Ok(vec![ARENA]));
        assert_eq!(exclusive(mm).len() as u64, HUGE);
        // It is one page still, of whose entries this brings one back.
        assert_eq!(mm.read_page(ARENA + 7), Ok(8));
        assert_eq!(exclusive(mm).len() as u64, HUGE - 1);
        // Those are exclusive already that the walk meets behind the first.
        assert_eq!(mm.make_device_exclusive(pages(0, 1), None), Ok(Vec::new()), "page 7 is mapped still");
        assert_eq!(exclusive(mm).len() as u64, HUGE - 1);
    });
    for brackets in runs {
        let huge = (NotifyEvent::Exclusive, HUGE);
        assert_eq!(brackets[..2], [(NotifyEvent::Clear, HUGE), huge], "the split of its entry, and one for all");
        assert_eq!(brackets.iter().filter(|bracket| **bracket == huge).count(), 2);
        let back = brackets.iter().filter(|bracket| **bracket == (NotifyEvent::Exclusive, 1)).count() as u64;
        assert_eq!(back, HUGE + 1, "a CPU takes back page by page; and so did the second request, one");
    }
}

#[test]
fn another_page_of_it_is_not_made_exclusive() {
    let runs = with_a_huge_page(|mm| {
        assert_eq!(mm.make_device_exclusive(pages(1, 3), None), Ok(Vec::new()));
        assert_eq!(exclusive(mm), []);
    });
    for brackets in runs {
        assert_eq!((brackets.len(), brackets[0]), (2, (NotifyEvent::Clear, HUGE)), "and the exit");
    }
}
