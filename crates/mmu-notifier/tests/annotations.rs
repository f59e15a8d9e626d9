//! What lockdep learns under each setting.

mod common;

use common::*;
use ksync::current;
use mm_types::{Gfp, Name};
use mmu_notifier::{Annotations, EndMap, Hooks, MapScope, Prime, Subscriptions, Touch, Wrap};

const MAP: &str = "mmu_notifier_invalidate_range_start";
const END_MAP: &str = "mmu_notifier_invalidate_range_end";

fn acquired(w: &World, class: &str) -> u64 {
    w.k.acquisitions(Name::new(class))
}

#[test]
fn by_default_a_start_enters_the_map_always_and_an_end_only_when_somebody_subscribed() {
    let w = World::new(Annotations::default());
    setup(&w, |mm| mm.zap(pages(0, 1)));
    assert_eq!(acquired(&w, MAP), 1);
    setup(&w, |mm| insert(mm, pages(9, 1), Toy::new(&w, "i", Hooks::empty())));
    let before = acquired(&w, MAP);
    setup(&w, |mm| mm.zap(pages(0, 1)));
    assert_eq!(acquired(&w, MAP) - before, 2);
}

#[test]
fn wrapping_is_a_setting_of_each_end() {
    for (start, end, expect) in
        [(Wrap::Subscribed, Wrap::Subscribed, 0), (Wrap::Always, Wrap::Always, 2), (Wrap::Subscribed, Wrap::Always, 1)]
    {
        let w = World::new(Annotations { wrap_start: start, wrap_end: end, ..Annotations::default() });
        setup(&w, |mm| mm.zap(pages(0, 1)));
        assert_eq!(acquired(&w, MAP), expect, "{start:?} {end:?}");
    }
}

#[test]
fn the_non_blocking_start_enters_the_map_too() {
    let w = World::new(Annotations::default());
    setup(&w, |mm| {
        let range = mm.range(trace::NotifyEvent::Unmap, pages(0, 1));
        mm.subs.invalidate_range_start_nonblock(range).unwrap().end();
    });
    assert_eq!(acquired(&w, MAP), 1);
}

#[test]
fn a_bracket_teaches_map_before_the_locks_of_callbacks() {
    let w = World::new(Annotations::default());
    let _sub = setup(&w, |mm| {
        insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()).locked(&w, "interval lock"));
        let sub = register(mm, Toy::new(&w, "l", START_END).locked(&w, "list lock"));
        mm.zap(pages(0, 1));
        sub
    });
    for lock in ["&subscriptions->lock", "interval lock", "list lock"] {
        assert!(w.learnt(MAP, lock), "{MAP} -> {lock} in {:?}", w.edges());
    }
    assert!(!w.learnt("&subscriptions->lock", MAP));
}

#[test]
fn with_no_map_nothing_is_learnt_about_callbacks() {
    let w = World::new(Annotations { range_start: MapScope::None, ..Annotations::default() });
    setup(&w, |mm| {
        let sub = insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()).locked(&w, "interval lock"));
        mm.zap(pages(0, 1));
        mm.subs.read_begin(&sub);
    });
    assert!(w.edges().iter().all(|(from, to)| from != MAP && to != MAP && to != "interval lock"), "{:?}", w.edges());
}

/// An inversion: the lock of a callback is held around an allocation. Loud only if allocations are taught the map.
fn inverts(annotations: Annotations, listed: bool) -> usize {
    let w = World::new(annotations);
    let mut keep = None;
    setup(&w, |mm| {
        let lock = w.k.mutex("driver lock", ());
        let toy = Toy::new(&w, "d", START_END).locked(&w, "driver lock");
        if listed {
            keep = Some(register(mm, toy));
        } else {
            insert(mm, pages(0, 1), toy);
        }
        mm.zap(pages(0, 1));
        let _held = lock.lock();
        current(|k| k.kmalloc(Gfp::KERNEL, 1)).unwrap();
    });
    w.k.lock_reports().len()
}

#[test]
fn one_run_without_reclaim_finds_the_inversion_because_allocations_are_primed() {
    let primed = Annotations::default();
    let unprimed = Annotations { prime: Prime::empty(), ..primed };
    for listed in [false, true] {
        assert_eq!(inverts(primed, listed), 1, "listed {listed}");
        assert_eq!(inverts(unprimed, listed), 0, "listed {listed}");
        let at_registration = Annotations { prime: Prime::REGISTRATION, ..primed };
        assert_eq!(inverts(at_registration, listed), 1, "listed {listed}");
        let no_map = Annotations { range_start: MapScope::None, ..primed };
        assert_eq!(inverts(no_map, listed), 0, "listed {listed}");
    }
}

#[test]
fn a_map_for_each_mm_still_finds_it_by_class_but_a_class_for_each_mm_cannot_be_primed() {
    let per_mm = Annotations { range_start: MapScope::PerMm, ..Annotations::default() };
    assert_eq!(inverts(per_mm, false), 1);
    let per_class = Annotations { range_start: MapScope::PerMmClass, ..Annotations::default() };
    assert_eq!(inverts(per_class, false), 0);
    let at_registration = Annotations { prime: Prime::REGISTRATION, ..per_class };
    assert_eq!(inverts(at_registration, false), 1);
}

#[test]
fn checked_srcu_sections_hide_the_inversion_of_a_list_subscriber() {
    let checked = Annotations { srcu_checked: true, ..Annotations::default() };
    assert_eq!((inverts(checked, true), inverts(checked, false)), (0, 1));
}

#[test]
fn the_end_may_share_the_map_or_have_its_own_or_none() {
    for (range_end, ends) in [(EndMap::Own, 1), (EndMap::None, 0), (EndMap::Shared, 0)] {
        let w = World::new(Annotations { range_end, wrap_end: Wrap::Always, ..Annotations::default() });
        setup(&w, |mm| mm.zap(pages(0, 1)));
        assert_eq!(acquired(&w, END_MAP), ends, "{range_end:?}");
        assert_eq!(acquired(&w, MAP), 1 + u64::from(range_end == EndMap::Shared), "{range_end:?}");
    }
}

#[test]
fn reading_and_removing_touch_the_map_where_the_setting_says_so() {
    for (touch, reads, removes) in
        [(Touch::all(), 1, 1), (Touch::READ_BEGIN, 1, 0), (Touch::REMOVE, 0, 1), (Touch::empty(), 0, 0)]
    {
        let w = World::new(Annotations { touch, prime: Prime::empty(), ..Annotations::default() });
        let sub = setup(&w, |mm| insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty())));
        setup(&w, |mm| mm.subs.read_begin(&sub));
        assert_eq!(acquired(&w, MAP), reads, "{touch:?}");
        setup(&w, |mm| Subscriptions::interval_remove(mm, &sub));
        assert_eq!(acquired(&w, MAP), reads + removes, "{touch:?}");
    }
}

#[test]
fn reading_under_a_lock_of_the_callback_is_reported_though_nobody_waits() {
    let w = World::new(Annotations::default());
    setup(&w, |mm| {
        let lock = w.k.mutex("driver lock", ());
        let sub = insert(mm, pages(0, 1), Toy::new(&w, "i", Hooks::empty()).locked(&w, "driver lock"));
        mm.zap(pages(0, 1));
        let _held = lock.lock();
        mm.subs.read_begin(&sub);
    });
    assert_eq!(w.k.lock_reports().len(), 1);
}

#[test]
fn registration_orders_the_mmap_lock_before_all_rmap_locks_and_can_prime_inside_them() {
    let w = World::new(Annotations { prime: Prime::TAKE_ALL_LOCKS, ..Annotations::default() });
    let _sub = setup(&w, |mm| register(mm, Toy::new(&w, "l", START_END)));
    assert!(w.learnt("&mm->mmap_lock", "fs_reclaim"), "the struct is allocated under the mmap lock");
    assert!(w.learnt("&mm->mmap_lock", "mm_all_locks_mutex"));
    assert!(w.learnt("&anon_vma->rwsem", MAP));
    assert!(!w.learnt("&anon_vma->rwsem", "fs_reclaim"), "nothing is allocated under all locks");
    let w = World::new(Annotations::default());
    let _sub = setup(&w, |mm| register(mm, Toy::new(&w, "l", START_END)));
    assert!(!w.learnt("&anon_vma->rwsem", MAP));
}
