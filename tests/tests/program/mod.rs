//! Random programs as scenarios: an address space of some layout, a device that watches part of it, tasks of memory calls
//! and device operations. What proptest shrinks is the program; what is run, and printed, is the scenario file.

use mm_types::{Gfp, PAGE_SIZE, PageRange, Pgoff, Prot, VirtAddr, Vpn};
use proptest::prelude::*;
use proptest::sample::select;
use scenario::ast::{
    Argument, Backing, Device, DeviceBody, Machine, Mapping, Mm, NamedDriver, Sharing, Statement, Task, Vma,
};
use scenario::{Scenario, Spanned};

/// Pages of the arena. The heap may grow over the last four.
pub(crate) const PAGES: u8 = 16;
const HEAP: u8 = PAGES - 4;
const BASE: u64 = 0x10;

/// Pages of the arena: the first, how many.
pub(crate) type Span = (u8, u8);

/// What a mapping shows, as a program names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Anon,
    PrivateFile,
    SharedFile,
}

/// One step of a task.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Mmap(Span, Prot, Kind),
    Munmap(Span),
    Mprotect(Span, Prot),
    /// The heap ends after so many of its pages.
    Brk(u8),
    Read(u8),
    Write(u8),
    Touch(Span),
    Swapin(Span),
    Reclaim(Span),
    ReclaimAny(u8),
    Alloc,
    Publish(Span),
    Unpublish(Span),
    DeviceRead(u8),
    DeviceWrite(u8),
}

/// A mapping that is there from the start.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    /// Unmapped pages before it.
    gap: u8,
    len: u8,
    prot: Prot,
    kind: Kind,
    touched: bool,
}

/// A layout, what the device watches, tasks, and the run of the random stream that interleaves them.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    layout: Vec<Area>,
    watched: Span,
    pub(crate) tasks: Vec<Vec<Step>>,
    pub(crate) run: u64,
}

fn span() -> impl Strategy<Value = Span> {
    (0..PAGES).prop_flat_map(|page| (Just(page), 1..=PAGES - page))
}

fn prot() -> impl Strategy<Value = Prot> {
    prop_oneof![6 => Just(Prot::READ | Prot::WRITE), 3 => Just(Prot::READ), 1 => Just(Prot::empty())]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => Just(Kind::Anon), 1 => Just(Kind::PrivateFile), 1 => Just(Kind::SharedFile)]
}

fn step() -> impl Strategy<Value = Step> {
    let page = || 0..PAGES;
    prop_oneof![
        2 => (span(), prot(), kind()).prop_map(|(at, prot, kind)| Step::Mmap(at, prot, kind)),
        3 => span().prop_map(Step::Munmap),
        2 => (span(), prot()).prop_map(|(at, prot)| Step::Mprotect(at, prot)),
        1 => (0..=PAGES - HEAP).prop_map(Step::Brk),
        2 => page().prop_map(Step::Read),
        2 => page().prop_map(Step::Write),
        1 => span().prop_map(Step::Touch),
        1 => span().prop_map(Step::Swapin),
        2 => span().prop_map(Step::Reclaim),
        1 => (1..8_u8).prop_map(Step::ReclaimAny),
        1 => Just(Step::Alloc),
        3 => span().prop_map(Step::Publish),
        1 => span().prop_map(Step::Unpublish),
        3 => page().prop_map(Step::DeviceRead),
        2 => page().prop_map(Step::DeviceWrite),
    ]
}

fn area() -> impl Strategy<Value = Area> {
    (select(&[0, 0, 0, 1, 2][..]), 1..=8_u8, prot(), kind(), any::<bool>())
        .prop_map(|(gap, len, prot, kind, touched)| Area { gap, len, prot, kind, touched })
}

/// One to three tasks of up to eight steps.
pub(crate) fn program() -> impl Strategy<Value = Program> {
    let tasks = prop::collection::vec(prop::collection::vec(step(), 0..8), 1..4);
    (prop::collection::vec(area(), 1..5), span(), tasks, 0..1_000_u64)
        .prop_map(|(layout, watched, tasks, run)| Program { layout, watched, tasks, run })
}

/// A driver, its operations, how it or the memory manager is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Victim {
    pub(crate) driver: &'static str,
    pub(crate) publish: &'static str,
    pub(crate) unpublish: &'static str,
    pub(crate) mutant: Option<&'static str>,
    pub(crate) quirk: Option<&'static str>,
}

fn name(word: &str) -> Spanned<String> {
    word.to_owned().into()
}

fn addr(page: u8) -> VirtAddr {
    VirtAddr((BASE + u64::from(page)) * PAGE_SIZE)
}

fn range((page, len): Span) -> PageRange {
    let start = Vpn(BASE + u64::from(page));
    PageRange::new(start, start + u64::from(len)).expect("a span has a page")
}

/// Mappings of one file show its pages at their place in the arena.
fn mapping(kind: Kind, page: u8) -> Mapping {
    let file = || Backing::File { name: name("data"), offset: Pgoff(u64::from(page)) };
    match kind {
        Kind::Anon => Mapping { backing: Backing::Anon, sharing: Sharing::Private },
        Kind::PrivateFile => Mapping { backing: file(), sharing: Sharing::Private },
        Kind::SharedFile => Mapping { backing: file(), sharing: Sharing::Shared },
    }
}

impl Program {
    /// The steps of all tasks.
    pub(crate) fn steps(&self) -> usize {
        self.tasks.iter().map(Vec::len).sum()
    }

    /// As a scenario with one device, `gpu0`.
    pub(crate) fn scenario(&self, victim: Victim) -> Scenario {
        let size = |mib: u64| Some(Spanned::from(mib << 20));
        let device = Device {
            name: name("gpu0"),
            driver: name(victim.driver),
            mm: name("A"),
            range: Some(range(self.watched).into()),
            body: DeviceBody::Named(NamedDriver { mutant: victim.mutant.map(name), options: Vec::new() }),
        };
        let task = |(i, steps): (usize, &Vec<Step>)| {
            let body = steps.iter().map(|step| statement(step, victim).into()).collect();
            Spanned::from(Task { name: name(&format!("t{i}")), body })
        };
        Scenario {
            title: name("a random program"),
            machine: Machine {
                memory_bytes: size(16),
                swap_bytes: size(4),
                seed: Some(crate::SEED.into()),
                ..Machine::default()
            },
            quirks: victim.quirk.map(name).into_iter().collect(),
            mms: vec![self.mm().into()],
            devices: vec![device.into()],
            tasks: self.tasks.iter().enumerate().map(task).collect(),
            ..Scenario::default()
        }
    }

    fn mm(&self) -> Mm {
        let mut mm = Mm { name: name("A"), vmas: Vec::new(), brk: Some(addr(HEAP).into()), touches: Vec::new() };
        let mut next = 0;
        for area in &self.layout {
            let start = next + area.gap;
            next = (start + area.len).min(PAGES);
            if start >= next {
                break;
            }
            let at = range((start, next - start));
            let mapping = mapping(area.kind, start);
            mm.vmas.push(Vma { range: at.into(), prot: area.prot.into(), mapping: mapping.into() }.into());
            if area.touched && area.prot.contains(Prot::READ) {
                mm.touches.push(at.into());
            }
        }
        mm
    }
}

fn statement(step: &Step, victim: Victim) -> Statement {
    let mm = name("A");
    let call = |operation: &str, argument: Argument| Statement::Call {
        device: name("gpu0"),
        operation: name(operation),
        arguments: vec![argument.into()],
    };
    match *step {
        Step::Mmap(at, prot, kind) => {
            Statement::Mmap { mm, range: range(at).into(), prot: prot.into(), mapping: mapping(kind, at.0).into() }
        }
        Step::Munmap(at) => Statement::Munmap { mm, range: range(at).into() },
        Step::Mprotect(at, prot) => Statement::Mprotect { mm, range: range(at).into(), prot: prot.into() },
        Step::Brk(pages) => Statement::Brk { mm, addr: addr(HEAP + pages).into() },
        Step::Read(page) => Statement::Read { mm, addr: addr(page).into() },
        Step::Write(page) => Statement::Write { mm, addr: addr(page).into(), value: None },
        Step::Touch(at) => Statement::Touch { mm, range: range(at).into() },
        Step::Swapin(at) => Statement::Swapin { mm, range: range(at).into() },
        Step::Reclaim(at) => Statement::ReclaimRange { mm, range: range(at).into() },
        Step::ReclaimAny(pages) => Statement::ReclaimPages { nr_pages: u64::from(pages).into() },
        Step::Alloc => Statement::Alloc { nr_pages: 1.into(), gfp: Gfp::KERNEL.into() },
        Step::Publish(at) => call(victim.publish, Argument::Range(range(at))),
        Step::Unpublish(at) => call(victim.unpublish, Argument::Range(range(at))),
        Step::DeviceRead(page) => call("read", Argument::Number(addr(page).0)),
        Step::DeviceWrite(page) => call("write", Argument::Number(addr(page).0)),
    }
}
