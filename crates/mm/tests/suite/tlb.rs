//! What CPUs do through translations that have not been flushed yet.

use crate::common::{addr, bytes, pages};
use ksync::{Kernel, KernelConfig};
use mm::vma::MremapFlags;
use mm::{Advice, FaultError, Machine, MachineConfig, Mm, Quirks};
use mm_types::{Name, Prot, Vpn};
use mmu_notifier::{Annotations, Framework};
use sched::{FirstScheduler, RandomScheduler};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trace::RunEnd;

const RUNS: u64 = 400;
const TO_THERE: MremapFlags = MremapFlags::MAYMOVE.union(MremapFlags::FIXED);
const PAGE: Vpn = crate::common::ARENA;

/// What one task does, and whether it went as it should.
type Step = Box<dyn FnOnce(&Mm) -> bool>;
type Body = Box<dyn FnOnce(&Arc<Mm>, &Kernel) -> Vec<Result<u64, FaultError>>>;

fn body(f: impl FnOnce(&Arc<Mm>, &Kernel) -> Vec<Result<u64, FaultError>> + 'static) -> Body {
    Box::new(f)
}

/// What each task saw in run `run` of a world where `tasks` share an address space of eight written pages, each on a CPU of its own.
fn seen(run: u64, quirks: Quirks, tasks: Vec<Body>) -> Vec<Vec<Result<u64, FaultError>>> {
    seen_after(|_| {}, run, quirks, tasks)
}

/// The same after `prepare`.
fn seen_after(prepare: fn(&Mm), run: u64, quirks: Quirks, tasks: Vec<Body>) -> Vec<Vec<Result<u64, FaultError>>> {
    let kernel = Kernel::new(KernelConfig::default());
    let results = Rc::new(RefCell::new(vec![Vec::new(); tasks.len()]));
    kernel.enter(|k| {
        let cpus = tasks.len() as u32;
        let config = MachineConfig { quirks, cpus, reclaim_by_choice: false, ..MachineConfig::default() };
        let mm = Machine::new(k, config, Framework::new(k, Annotations::default())).new_mm(k, Name::new("A"));
        mm.mmap_anon(pages(0, 8), Prot::READ | Prot::WRITE).expect("mapped");
        pages(0, 8).iter().for_each(|vpn| mm.write_page(vpn, 5).expect("written"));
        prepare(&mm);
        for (n, task) in tasks.into_iter().enumerate() {
            let (mm, results) = (Arc::clone(&mm), Rc::clone(&results));
            k.spawn(Name::new("task"), move || {
                let saw = ksync::current(|k| task(&mm, k));
                results.borrow_mut()[n] = saw;
            });
        }
    });
    assert_eq!(kernel.run(&mut RandomScheduler::new(7, run)), RunEnd::Finished);
    results.take()
}

fn dontneed(mm: &Arc<Mm>) {
    mm.madvise(addr(0), bytes(1), Advice::DontNeed).expect("advised");
}

/// In how many runs a task, which had the page cached, still sees what was there after it has discarded it itself, while
/// another discards it too.
fn reads_after_a_discard(quirks: Quirks) -> usize {
    let stale = |run| {
        let other = body(|mm, _| {
            dontneed(mm);
            Vec::new()
        });
        let reader = body(|mm, _| {
            let before = mm.read_page(PAGE);
            dontneed(mm);
            vec![before, mm.read_page(PAGE)]
        });
        seen(run, quirks, vec![other, reader])[1][1] != Ok(0)
    };
    (0..RUNS).filter(|run| stale(*run)).count()
}

#[test]
fn whoever_discards_a_page_does_not_see_it_again_though_another_has_cleared_it() {
    assert_eq!(reads_after_a_discard(Quirks::empty()), 0);
    assert!(reads_after_a_discard(Quirks::FLUSH_WHEN_NESTED) > 0);
}

/// What a task sees of a page that another unmaps: first what was there, then the fault; whether it ever saw the page after
/// the other had returned.
fn reads_after_munmap(quirks: Quirks) -> usize {
    let stale = |run| {
        let done = Rc::new(RefCell::new(false));
        let told = Rc::clone(&done);
        let unmap = body(move |mm, _| {
            mm.munmap(addr(0), bytes(1)).expect("unmapped");
            *told.borrow_mut() = true;
            Vec::new()
        });
        let late = Rc::new(RefCell::new(false));
        let saw_late = Rc::clone(&late);
        let reader = body(move |mm, _| {
            for _ in 0..12 {
                let was_done = *done.borrow();
                *saw_late.borrow_mut() |= mm.read_page(PAGE).is_ok() && was_done;
            }
            Vec::new()
        });
        seen(run, quirks, vec![unmap, reader]);
        late.take()
    };
    (0..RUNS).filter(|run| stale(*run)).count()
}

#[test]
fn a_flush_reaches_every_cpu() {
    assert_eq!(reads_after_munmap(Quirks::empty()), 0);
    assert!(reads_after_munmap(Quirks::FLUSH_OTHER_CPUS) > 0);
}

#[test]
fn a_cached_page_is_seen_between_the_clearing_and_the_flush() {
    // Both entries are cleared under one lock and flushed together: the reader may see the first page after its entry went,
    // and the second one too.
    let (mut late, mut faulted) = (0, 0);
    for run in 0..RUNS {
        let unmap = body(|mm, _| {
            mm.munmap(addr(0), bytes(2)).expect("unmapped");
            Vec::new()
        });
        let reader = body(|mm, _| {
            let mut saw = vec![mm.read_page(PAGE)];
            for _ in 0..8 {
                let gone = mm.pte(PAGE).is_none();
                saw.push(mm.read_page(PAGE).map(|tag| tag + 100 * u64::from(gone)));
            }
            saw
        });
        let saw = &seen(run, Quirks::empty(), vec![unmap, reader])[1];
        late += usize::from(saw.contains(&Ok(105)));
        faulted += usize::from(saw.iter().any(Result::is_err));
        let first_fault = saw.iter().position(Result::is_err).unwrap_or(saw.len());
        assert!(saw[first_fault..].iter().all(Result::is_err), "run {run}: {saw:?}");
    }
    assert!(late > 0 && faulted > 0, "{late} late, {faulted} faulted");
}

#[test]
fn tasks_of_one_cpu_share_its_tlb_and_a_write_through_a_clean_translation_looks_at_the_entry() {
    // The third task runs on the first one's CPU and uses what that has cached. Cached by reading a page that was clean.
    let kernel = Kernel::new(KernelConfig::default());
    let result = Rc::new(RefCell::new(Vec::new()));
    let out = Rc::clone(&result);
    kernel.enter(|k| {
        let config = MachineConfig { quirks: Quirks::FLUSH_OTHER_CPUS, ..MachineConfig::default() };
        let mm = Machine::new(k, config, Framework::new(k, Annotations::default())).new_mm(k, Name::new("A"));
        mm.mmap_anon(pages(0, 8), Prot::READ | Prot::WRITE).expect("mapped");
        mm.write_page(PAGE, 5).expect("written");
        let steps: [Step; 4] = [
            Box::new(|mm| mm.read_page(PAGE) == Ok(5)),
            Box::new(|mm| mm.munmap(addr(0), bytes(1)).is_ok()),
            // On the first task's CPU, which has not heard of the flush.
            Box::new(|mm| mm.read_page(PAGE).is_ok()),
            Box::new(|mm| mm.read_page(PAGE).is_err()),
        ];
        for step in steps {
            let (mm, out) = (Arc::clone(&mm), Rc::clone(&out));
            k.spawn(Name::new("task"), move || out.borrow_mut().push(step(&mm)));
        }
    });
    assert_eq!(kernel.run(&mut FirstScheduler), RunEnd::Finished);
    assert_eq!(result.take(), [true; 4]);
}

/// What takes a page away or protects it, by name.
type Revocation = (&'static str, fn(&Mm));

/// All pages have a copy in swap, so that reclaim flushes once, at its end.
fn swap_out_and_in(mm: &Mm) {
    mm.reclaim_pages(pages(0, 8));
    mm.touch(pages(0, 8), false).expect("read");
}

/// In how many runs a task reads a page after `revoke`, by another, has taken it away or protected it, while a third reclaims it
/// and others.
fn reads_after(revoke: fn(&Mm), quirks: Quirks) -> usize {
    let late = |run| {
        let done = Rc::new(RefCell::new(false));
        let (told, late) = (Rc::clone(&done), Rc::new(RefCell::new(false)));
        let saw_late = Rc::clone(&late);
        let reader = body(move |mm, _| {
            for _ in 0..20 {
                let was_done = *done.borrow();
                *saw_late.borrow_mut() |= mm.read_page(PAGE + 1).is_ok() && was_done;
            }
            Vec::new()
        });
        let reclaim = body(|mm, _| {
            mm.reclaim_pages(pages(1, 7));
            Vec::new()
        });
        let revoke = body(move |mm, _| {
            revoke(mm);
            *told.borrow_mut() = true;
            Vec::new()
        });
        seen_after(swap_out_and_in, run, quirks, vec![reader, reclaim, revoke]);
        late.take()
    };
    (0..RUNS).filter(|run| late(*run)).count()
}

#[test]
fn nobody_uses_a_page_that_reclaim_has_not_flushed_yet_once_it_is_taken_away_or_protected() {
    let revocations: [Revocation; 3] = [
        ("munmap", |mm| mm.munmap(addr(1), bytes(1)).expect("unmapped")),
        ("mprotect", |mm| mm.mprotect(addr(1), bytes(1), Prot::empty()).expect("protected")),
        ("mremap", |mm| {
            let moved = mm.mremap(addr(1), bytes(1), bytes(1), TO_THERE, Some(addr(64)), None);
            assert_eq!(moved, Ok(addr(64)));
        }),
    ];
    for (name, revoke) in revocations {
        assert_eq!(reads_after(revoke, Quirks::empty()), 0, "{name}");
        assert!(
            reads_after(revoke, Quirks::FLUSH_BATCHED_PENDING) > 0,
            "{name}, without a look at what reclaim has put off"
        );
    }
}

/// In how many runs a page that was reclaimed while a task writes ever greater numbers to it shows less than was written before.
fn writes_lost_by_reclaim(quirks: Quirks) -> usize {
    let lost = |run| {
        let last = Rc::new(RefCell::new(0));
        let written = Rc::clone(&last);
        let writer = body(move |mm, _| {
            for value in 6..18 {
                mm.write_page(PAGE, value).expect("written");
                *last.borrow_mut() = value;
            }
            Vec::new()
        });
        let reclaim = body(move |mm, _| {
            mm.reclaim_pages(pages(0, 4));
            let at_least = *written.borrow();
            vec![Ok(at_least), mm.read_page(PAGE)]
        });
        let saw = &seen(run, quirks, vec![writer, reclaim])[1];
        saw[1].expect("read") < saw[0].expect("a number")
    };
    (0..RUNS).filter(|run| lost(*run)).count()
}

#[test]
fn what_is_written_until_the_flush_is_in_swap() {
    assert_eq!(writes_lost_by_reclaim(Quirks::empty()), 0);
    assert!(writes_lost_by_reclaim(Quirks::FLUSH_BEFORE_WRITEPAGE) > 0);
}
