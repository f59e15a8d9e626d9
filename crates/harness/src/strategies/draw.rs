//! The strategies.

use super::program::{Area, HEAP, Kind, PAGES, Program, Span, Step};
use super::schedule::{Choice, Pick, Schedule, Turn};
use mm_types::Prot;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// Some pages of the arena.
pub fn span() -> impl Strategy<Value = Span> {
    (0..PAGES).prop_flat_map(|page| (Just(page), 1..=PAGES - page))
}

/// A protection, read and write most often.
pub fn prot() -> impl Strategy<Value = Prot> {
    prop_oneof![6 => Just(Prot::READ | Prot::WRITE), 3 => Just(Prot::READ), 1 => Just(Prot::empty())]
}

/// What a mapping shows, anonymous memory most often.
pub fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => Just(Kind::Anon), 1 => Just(Kind::PrivateFile), 1 => Just(Kind::SharedFile)]
}

/// Strategies with how often each is to be drawn.
type Choices = Vec<(u32, BoxedStrategy<Step>)>;

fn page() -> impl Strategy<Value = u8> {
    0..PAGES
}

fn memory_choices() -> Choices {
    vec![
        (2, (span(), prot(), kind()).prop_map(|(at, prot, kind)| Step::Mmap(at, prot, kind)).boxed()),
        (3, span().prop_map(Step::Munmap).boxed()),
        (2, (span(), prot()).prop_map(|(at, prot)| Step::Mprotect(at, prot)).boxed()),
        (1, (0..=PAGES - HEAP).prop_map(Step::Brk).boxed()),
        (2, page().prop_map(Step::Read).boxed()),
        (2, page().prop_map(Step::Write).boxed()),
        (1, span().prop_map(Step::Touch).boxed()),
        (1, span().prop_map(Step::Swapin).boxed()),
        (2, span().prop_map(Step::Reclaim).boxed()),
        (1, (1..8_u8).prop_map(Step::ReclaimAny).boxed()),
        (1, Just(Step::Alloc).boxed()),
    ]
}

fn device_choices() -> Choices {
    vec![
        (3, span().prop_map(Step::Publish).boxed()),
        (1, span().prop_map(Step::Unpublish).boxed()),
        (3, page().prop_map(Step::DeviceRead).boxed()),
        (2, page().prop_map(Step::DeviceWrite).boxed()),
    ]
}

/// One call of the process, or reclaim of its pages.
pub fn memory_step() -> impl Strategy<Value = Step> {
    Union::new_weighted(memory_choices())
}

/// One operation of the device or its driver.
pub fn device_step() -> impl Strategy<Value = Step> {
    Union::new_weighted(device_choices())
}

/// Something that the rest of the kernel does to the process's pages: moves them, or announces a change, not to block, and
/// makes none.
pub fn kernel_step() -> impl Strategy<Value = Step> {
    Union::new_weighted(kernel_choices())
}

fn kernel_choices() -> Choices {
    vec![(1, span().prop_map(Step::Compact).boxed()), (1, span().prop_map(Step::Notify).boxed())]
}

/// One step of a task: two of the memory manager's for one of the device's, now and then one of the kernel's.
pub fn step() -> impl Strategy<Value = Step> {
    let choices = memory_choices().into_iter().chain(device_choices()).chain(kernel_choices());
    Union::new_weighted(choices.collect())
}

/// A mapping of the layout.
pub fn area() -> impl Strategy<Value = Area> {
    (select(&[0, 0, 0, 1, 2][..]), 1..=8_u8, prot(), kind(), any::<bool>())
        .prop_map(|(gap, len, prot, kind, touched)| Area { gap, len, prot, kind, touched })
}

/// The mappings of an address space: one to four, with gaps between some.
pub fn layout() -> impl Strategy<Value = Vec<Area>> {
    prop::collection::vec(area(), 1..5)
}

/// What one task does: up to seven steps.
pub fn task() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..8)
}

/// A schedule of up to three tasks: a few turns, and now and then a choice of the memory manager's. Shrinks to the plain one.
pub fn schedule() -> impl Strategy<Value = Schedule> {
    let turn = (0..3_u8, 0..48_u8, 0..3_u8).prop_map(|(task, steps, next)| Turn { task, steps, next });
    let choice = prop_oneof![Just(Choice::EntersReclaim), (1..8_u8).prop_map(Choice::Victim)];
    let pick = (0..3_u8, choice, 0..4_u8).prop_map(|(task, choice, nth)| Pick { task, choice, nth });
    let both = (prop::collection::vec(turn, 0..6), prop::collection::vec(pick, 0..3));
    both.prop_map(|(turns, picks)| Schedule { turns, picks })
}

/// A whole program: a layout, the pages watched, one to three tasks, a schedule.
pub fn program() -> impl Strategy<Value = Program> {
    program_of(layout(), prop::collection::vec(task(), 1..4))
}

/// A program of a layout and tasks of your own.
pub fn program_of(
    layout: impl Strategy<Value = Vec<Area>>,
    tasks: impl Strategy<Value = Vec<Vec<Step>>>,
) -> impl Strategy<Value = Program> {
    (layout, span(), tasks, schedule(), 0..1_000_u64).prop_map(|(layout, watched, tasks, schedule, run)| Program {
        layout,
        watched,
        tasks,
        schedule,
        run,
    })
}
