//! A program: what is drawn and shrunk. As a scenario it is what is run and printed.

use super::schedule::Schedule;
use super::subject::Subject;
use mm_types::{Gfp, PAGE_SIZE, PageRange, Pgoff, Prot, VirtAddr, Vpn};
use scenario::ast::{
    Argument, Backing, Device, DeviceBody, Machine, Mapping, Mm, NamedDriver, Sharing, Statement, Task, Vma,
};
use scenario::{Scenario, Spanned};

/// Pages of the arena, from address 0x10000 on. The heap may grow over the last four.
pub const PAGES: u8 = 16;
/// The first page of the arena that the heap may have.
pub const HEAP: u8 = PAGES - 4;
const BASE: u64 = 0x10;
/// Of every choice of a run.
pub(super) const SEED: u64 = 5;

/// Pages of the arena: the first, how many.
pub type Span = (u8, u8);

/// What a mapping shows, as a program names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Memory of its own.
    Anon,
    /// A file, copied when written.
    PrivateFile,
    /// A file, written through.
    SharedFile,
}

/// One step of a task.
#[derive(Clone, Debug)]
pub enum Step {
    /// `mmap` in place.
    Mmap(Span, Prot, Kind),
    /// `munmap`.
    Munmap(Span),
    /// `mprotect`.
    Mprotect(Span, Prot),
    /// The heap ends after so many of its pages.
    Brk(u8),
    /// The process reads a page.
    Read(u8),
    /// The process writes a page.
    Write(u8),
    /// The process accesses each page.
    Touch(Span),
    /// Swapped-out pages are brought back.
    Swapin(Span),
    /// These pages are reclaimed.
    Reclaim(Span),
    /// So many pages are reclaimed, whosever they are.
    ReclaimAny(u8),
    /// These pages move to other frames.
    Compact(Span),
    /// An invalidation that must not sleep, and changes nothing.
    Notify(Span),
    /// An allocation by the kernel, which may enter reclaim.
    Alloc,
    /// The driver publishes.
    Publish(Span),
    /// The driver takes translations away.
    Unpublish(Span),
    /// The device reads a page.
    DeviceRead(u8),
    /// The device writes a page.
    DeviceWrite(u8),
}

/// A mapping that is there from the start.
#[derive(Clone, Debug)]
pub struct Area {
    /// Unmapped pages before it.
    pub gap: u8,
    /// Its pages.
    pub len: u8,
    /// What the process may do with them.
    pub prot: Prot,
    /// What it shows.
    pub kind: Kind,
    /// Whether its pages are faulted in at the start.
    pub touched: bool,
}

/// A layout, what the device watches, tasks, and how they interleave.
#[derive(Clone, Debug)]
pub struct Program {
    /// The mappings of the process at the start, in order of their addresses.
    pub layout: Vec<Area>,
    /// The pages that the device's driver subscribes to.
    pub watched: Span,
    /// What each task does.
    pub tasks: Vec<Vec<Step>>,
    /// How they interleave.
    pub schedule: Schedule,
    /// The first run of the random stream that is tried beside it.
    pub run: u64,
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
    let file = || Backing::File { name: name("data"), offset: Pgoff(u64::from(page)), shmem: false };
    match kind {
        Kind::Anon => Mapping { backing: Backing::Anon, sharing: Sharing::Private },
        Kind::PrivateFile => Mapping { backing: file(), sharing: Sharing::Private },
        Kind::SharedFile => Mapping { backing: file(), sharing: Sharing::Shared },
    }
}

impl Program {
    /// The steps of all tasks.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.tasks.iter().map(Vec::len).sum()
    }

    /// As a scenario with one device, `gpu0`.
    #[must_use]
    pub fn scenario(&self, subject: &Subject) -> Scenario {
        let size = |mib: u64| Some(Spanned::from(mib << 20));
        let device = Device {
            name: name("gpu0"),
            driver: name(subject.driver),
            mm: name("A"),
            range: Some(range(self.watched).into()),
            body: DeviceBody::Named(NamedDriver { mutant: subject.mutant.as_deref().map(name), options: Vec::new() }),
        };
        let task = |(i, steps): (usize, &Vec<Step>)| {
            let body = steps.iter().map(|step| statement(step, subject).into()).collect();
            Spanned::from(Task { name: name(&format!("t{i}")), interrupt: None, body })
        };
        Scenario {
            title: name("a random program"),
            machine: Machine {
                memory_bytes: size(16),
                swap_bytes: size(4),
                seed: Some(SEED.into()),
                ..Machine::default()
            },
            quirks: subject.quirk.as_deref().map(name).into_iter().collect(),
            mms: vec![self.mm().into()],
            devices: vec![device.into()],
            tasks: self.tasks.iter().enumerate().map(task).collect(),
            ..Scenario::default()
        }
    }

    fn mm(&self) -> Mm {
        let mut mm =
            Mm { name: name("A"), vmas: Vec::new(), brk: Some(addr(HEAP).into()), touches: Vec::new(), forked: false };
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

fn statement(step: &Step, subject: &Subject) -> Statement {
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
        Step::Compact(at) => Statement::Compact { mm, range: range(at).into() },
        Step::Notify(at) => Statement::Notify { nonblock: true, mm, range: range(at).into(), body: Vec::new() },
        Step::Alloc => Statement::Alloc { nr_pages: 1.into(), gfp: Gfp::KERNEL.into() },
        Step::Publish(at) => call(subject.ops.map, Argument::Range(range(at))),
        Step::Unpublish(at) => call(subject.ops.unmap, Argument::Range(range(at))),
        Step::DeviceRead(page) => call(subject.ops.read, Argument::Number(addr(page).0)),
        Step::DeviceWrite(page) => call(subject.ops.write, Argument::Number(addr(page).0)),
    }
}
