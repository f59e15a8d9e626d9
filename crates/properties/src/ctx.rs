//! CTX: no task may sleep while it holds a spinlock, with interrupts or bottom halves disabled, between `non_block_start` and
//! `non_block_end`, or inside a callback that was told not to block; the handler of an interrupt never may.
//!
//! | may sleep | unless |
//! |---|---|
//! | `might_sleep()`, a wait, acquiring a mutex or rw_semaphore | it is a trylock |
//! | an allocation | its flags lack `__GFP_DIRECT_RECLAIM` |
//!
//! The callback's own flag is a context too, because the kernel wraps only list callbacks in `non_block_start()`
//! (6.12, `mn_hlist_invalidate_range_start`), while an interval callback owes the same.
//!
//! One finding per context: once a task sleeps where it must not, what follows says nothing new.

use crate::book::Book;
use crate::finding::Sink;
use crate::table::Table;
use crate::{Code, Finding, Variant, Variants};
use mm_types::TaskId;
use smallvec::SmallVec;
use trace::{Atomic, Event, EventKind, LockRef};

#[derive(Debug, Default)]
pub(crate) struct Ctx {
    tasks: Table<TaskId, Context>,
}

#[derive(Debug, Default)]
struct Context {
    /// Atomic locks held, with the step each was taken at.
    locks: SmallVec<[(LockRef, u64); 4]>,
    /// What else forbids it, with the step since when.
    atomics: SmallVec<[(Atomic, u64); 2]>,
    /// Depth of `non_block_start`, and the step of the outermost.
    nonblock: u32,
    nonblock_step: u64,
    /// Callbacks entered and not left that were told not to block.
    callbacks: u32,
    reported: bool,
}

impl Context {
    fn is_atomic(&self) -> bool {
        !self.locks.is_empty() || !self.atomics.is_empty() || self.nonblock > 0 || self.callbacks > 0
    }

    fn left(&mut self) {
        self.reported &= self.is_atomic();
    }
}

impl Ctx {
    pub(crate) const READS: Variants = Variants::of(&[
        Variant::LockContended,
        Variant::LockAcquired,
        Variant::LockReleased,
        Variant::Wait,
        Variant::MightSleep,
        Variant::NonBlockStart,
        Variant::NonBlockEnd,
        Variant::AtomicEnter,
        Variant::AtomicExit,
        Variant::Alloc,
        Variant::CallbackEnter,
        Variant::CallbackExit,
    ]);

    pub(crate) fn reset(&mut self) {
        self.tasks.clear();
    }

    pub(crate) fn event(&mut self, book: &Book, e: &Event, sink: &mut Sink) {
        let context = self.tasks.entry(e.task, Context::default).1;
        if context.is_atomic()
            && !context.reported
            && let Some(what) = sleeps(&e.kind)
        {
            context.reported = true;
            sink.push(finding(book, e, context, &what));
        }
        match e.kind {
            EventKind::LockAcquired { lock, .. } if lock.kind.is_atomic() => context.locks.push((lock, e.step)),
            EventKind::LockReleased { lock, .. } if lock.kind.is_atomic() => {
                if let Some(i) = context.locks.iter().rposition(|(l, _)| l.obj == lock.obj) {
                    context.locks.remove(i);
                    context.left();
                }
            }
            EventKind::AtomicEnter { atomic, .. } => context.atomics.push((atomic, e.step)),
            EventKind::AtomicExit { atomic } => {
                if let Some(at) = context.atomics.iter().rposition(|(a, _)| *a == atomic) {
                    context.atomics.remove(at);
                    context.left();
                }
            }
            EventKind::NonBlockStart => {
                if context.nonblock == 0 {
                    context.nonblock_step = e.step;
                }
                context.nonblock += 1;
            }
            EventKind::NonBlockEnd => {
                context.nonblock = context.nonblock.saturating_sub(1);
                context.left();
            }
            EventKind::CallbackEnter { blockable: false, .. } => context.callbacks += 1,
            EventKind::CallbackExit { .. } => {
                let innermost = book.task(e.task).and_then(|t| t.callbacks.last());
                if innermost.is_some_and(|f| !f.blockable) {
                    context.callbacks = context.callbacks.saturating_sub(1);
                    context.left();
                }
            }
            _ => {}
        }
    }
}

/// What in this event may sleep.
fn sleeps(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::MightSleep { what } => Some(format!("{what} may sleep")),
        EventKind::Wait { what, .. } => Some(format!("a wait for {what} sleeps")),
        EventKind::Alloc { gfp, .. } if gfp.may_block() => Some(format!("an allocation with {gfp} may sleep")),
        EventKind::LockContended { lock, .. } | EventKind::LockAcquired { lock, trylock: false, .. }
            if lock.kind.sleeps() =>
        {
            Some(format!("acquiring {} {} may sleep", lock.kind.word(), lock.class))
        }
        _ => None,
    }
}

const fn phrase(atomic: Atomic) -> &'static str {
    match atomic {
        Atomic::IrqsOff => "with interrupts disabled",
        Atomic::BhOff => "with bottom halves disabled",
        Atomic::Softirq => "in a softirq",
        Atomic::Hardirq => "in a hardirq",
    }
}

fn finding(book: &Book, e: &Event, context: &Context, what: &str) -> Finding {
    let mut why = Vec::new();
    why.extend(context.locks.iter().map(|(l, _)| format!("while holding {} {}", l.kind.word(), l.class)));
    why.extend(context.atomics.iter().map(|(atomic, _)| phrase(*atomic).to_owned()));
    let frame = book.task(e.task).and_then(|t| t.callbacks.last());
    match frame {
        Some(f) if context.nonblock > 0 || context.callbacks > 0 => {
            why.push(format!("in non-blockable {} of subscription {}", f.hook, book.sub_name(f.sub)));
        }
        _ if context.nonblock > 0 => why.push("in a non_block section".to_owned()),
        _ => {}
    }
    let title = format!("{what} {}, during {}", why.join(" and "), book.call(&book.calls(e.task), e.task));
    let mut details = Vec::new();
    let name = book.task_name(e.task);
    for (lock, step) in &context.locks {
        details.push(format!("{step:>6} {name:<12} {} {} taken", lock.kind.word(), lock.class));
    }
    for (atomic, step) in &context.atomics {
        details.push(format!("{step:>6} {name:<12} {}", atomic.word()));
    }
    if context.nonblock > 0 {
        details.push(format!("{:>6} {name:<12} non_block_start", context.nonblock_step));
    }
    details.extend(frame.map(|f| book.line(f.enter, format_args!("{} {} entered", f.hook, f.pages))));
    details.push(book.line(book.stamp(e), e.kind));
    Finding::new(Code::Ctx, e.step, Some(e.task), title, details)
}
