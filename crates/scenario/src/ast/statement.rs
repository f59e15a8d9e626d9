//! Tasks and their statements.

use super::{GlobalStatement, LockMode, Mapping, Name};
use crate::span::Spanned;
use crate::words::MmOp;
use mm_types::{Gfp, PageRange, Prot, VirtAddr};

/// `task NAME { .. }`, or the handler of an interrupt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Its name.
    pub name: Name,
    /// What makes it run, if it is no task.
    pub interrupt: Option<Interrupt>,
    /// What it does, in order.
    pub body: Vec<Spanned<Statement>>,
}

/// What makes a handler run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// Its sort.
    pub source: InterruptSource,
    /// How often it arrives; absent: once.
    pub times: Option<Spanned<u32>>,
}

/// The sorts of interrupt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InterruptSource {
    /// `irq NAME [times N] { .. }`: a device's.
    Irq,
    /// `softirq NAME [times N] { .. }`
    Softirq,
    /// `timer NAME after MS [times N] { .. }`: expires in softirq context.
    Timer {
        /// Milliseconds of virtual time.
        after: Spanned<u64>,
    },
}

impl InterruptSource {
    /// The word of its section.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            InterruptSource::Irq => "irq",
            InterruptSource::Softirq => "softirq",
            InterruptSource::Timer { .. } => "timer",
        }
    }
}

/// One step of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statement {
    /// `mmap MM RANGE PROT BACKING`, at exactly this place (`MAP_FIXED`).
    Mmap {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
        /// What user space may do with them.
        prot: Spanned<Prot>,
        /// What they show.
        mapping: Spanned<Mapping>,
    },
    /// `munmap MM RANGE`
    Munmap {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
    },
    /// `mprotect MM RANGE PROT`
    Mprotect {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
        /// What user space may do with them from now on.
        prot: Spanned<Prot>,
    },
    /// `brk MM ADDR`
    Brk {
        /// The address space.
        mm: Name,
        /// The new end of the heap, any byte.
        addr: Spanned<VirtAddr>,
    },
    /// `read MM ADDR`: a load by a CPU.
    Read {
        /// The address space.
        mm: Name,
        /// The byte.
        addr: Spanned<VirtAddr>,
    },
    /// `write MM ADDR [VALUE]`: a store by a CPU.
    Write {
        /// The address space.
        mm: Name,
        /// The byte.
        addr: Spanned<VirtAddr>,
        /// What is stored; absent: a value the runner picks.
        value: Option<Spanned<u64>>,
    },
    /// `touch MM RANGE`: one access to each page.
    Touch {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
    },
    /// `exit MM`: the last user of the address space goes away.
    Exit {
        /// The address space.
        mm: Name,
    },
    /// `alloc N GFP`: allocates pages as kernel code would, and frees them at the end of the task.
    Alloc {
        /// Pages, at least 1.
        nr_pages: Spanned<u64>,
        /// How.
        gfp: Spanned<Gfp>,
    },
    /// `reclaim MM RANGE`: reclaims exactly these pages.
    ReclaimRange {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
    },
    /// `reclaim N pages`: reclaims as many pages as asked, whosever they are.
    ReclaimPages {
        /// Pages, at least 1.
        nr_pages: Spanned<u64>,
    },
    /// `compact MM RANGE`: moves these pages to other frames.
    Compact {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
    },
    /// `swapin MM RANGE`: faults swapped-out pages back.
    Swapin {
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
    },
    /// `with [read|write] DEVICE.LOCK { .. }`
    With {
        /// The device.
        device: Name,
        /// Its lock.
        lock: Name,
        /// Present exactly for an rwsem.
        mode: Option<Spanned<LockMode>>,
        /// What is done under it.
        body: Vec<Spanned<Statement>>,
    },
    /// `repeat N { .. }`
    Repeat {
        /// How often, at least once.
        times: Spanned<u32>,
        /// What.
        body: Vec<Spanned<Statement>>,
    },
    /// `DEVICE.OPERATION ARG..`
    Call {
        /// The device.
        device: Name,
        /// One of its operations.
        operation: Name,
        /// What it is given.
        arguments: Vec<Spanned<Argument>>,
    },
    /// `register DEVICE`
    Register {
        /// The device.
        device: Name,
    },
    /// `unregister DEVICE`
    Unregister {
        /// The device.
        device: Name,
    },
    /// `sync NAME`: the sync point `user.NAME`.
    Sync {
        /// The name after `user.`.
        name: Name,
    },
    /// `yield`: lets any other task run.
    Yield,
    /// `notify [nonblock] MM RANGE { .. }`: a bracket around pages whose entries it leaves alone.
    Notify {
        /// Whether its callbacks must not sleep, and may refuse.
        nonblock: bool,
        /// The address space.
        mm: Name,
        /// The pages.
        range: Spanned<PageRange>,
        /// What is done while it is open; nothing if it was refused.
        body: Vec<Spanned<Statement>>,
    },
    /// A statement about globals.
    Global(GlobalStatement<Vec<Spanned<Statement>>>),
    /// `mark "TEXT"`: from here on callbacks belong to the operation of this name, for comparison with recordings.
    Mark {
        /// The name.
        text: Name,
    },
    /// `sleep MS`: waits so long by the virtual clock.
    Sleep {
        /// Milliseconds.
        ms: Spanned<u64>,
    },
    /// `file_write [shared] { .. }`: inside a `write()` to a file.
    FileWrite {
        /// Several tasks share the open file, so that its position is locked.
        shared: bool,
        /// What the file does.
        body: Vec<Spanned<Statement>>,
    },
    /// One operation of the kernel with its operands.
    Op {
        /// Which.
        op: Spanned<MmOp>,
        /// As [`MmOp::operands`] says.
        operands: Vec<Spanned<Operand>>,
    },
}

/// One operand of an [`MmOp`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operand {
    /// An mm's name.
    Mm(String),
    /// Pages.
    Range(PageRange),
    /// A number.
    Number(u64),
    /// Text in quotes.
    Text(String),
    /// A word of the operation's own.
    Word(String),
}

/// What a device operation is given. Whether a number is an address is for the operation to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Pages.
    Range(PageRange),
    /// An address, a value, a count.
    Number(u64),
}
