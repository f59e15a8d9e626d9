//! Reports in the kernel's layout: its order of parts, headings, indents and blank lines.
//!
//! Where the kernel prints addresses of code, source locations stand. The line of `dump_stack()` names no CPU, since the
//! validator knows none.

use core::fmt::{self, Write};

use crate::acquire::Read;
use crate::report::{ClassHistory, ClassText, Dependency, Detail, IrqText, LockText, Report, SiteText};

impl fmt::Display for ClassText {
    /// `(name){usage}-{outer:inner}`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, usage, wait_outer, wait_inner, .. } = self;
        write!(f, "({name}){{{usage}}}-{{{wait_outer}:{wait_inner}}}")
    }
}

impl fmt::Display for LockText {
    /// `instance (name){usage}-{outer:inner}, at: site`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} {}, at: {}", self.instance, self.class, self.at.location)
    }
}

/// The locks a task holds, as `lockdep_print_held_locks()` lists them, each line ended.
pub(crate) fn held_locks(out: &mut String, comm: &str, pid: u32, held: &[LockText]) -> fmt::Result {
    match held.len() {
        0 => writeln!(out, "no locks held by {comm}/{pid}.")?,
        1 => writeln!(out, "1 lock held by {comm}/{pid}:")?,
        n => writeln!(out, "{n} locks held by {comm}/{pid}:")?,
    }
    for (i, lock) in held.iter().enumerate() {
        writeln!(out, " #{i}: {lock}")?;
    }
    Ok(())
}

impl Report {
    /// The report as the kernel lays it out; `ident` stands where the kernel names itself, such as `6.12 Not tainted`.
    #[must_use]
    pub fn to_text(&self, ident: &str) -> String {
        let mut out = String::new();
        self.write_text(&mut out, ident).expect("writing to a string does not fail");
        out
    }

    fn write_text(&self, out: &mut String, ident: &str) -> fmt::Result {
        if self.is_warning() {
            return self.write_warning(out, ident);
        }
        let title = self.first_line();
        // The kernel rules the irq-order report for a shorter title than it prints, and one that names a task for any.
        let width = match self.detail {
            Detail::IrqUnsafe { .. } => 53,
            Detail::LocksHeldAtExit => 36,
            _ => title.len(),
        };
        writeln!(out, "\n{}\n{title}\n{ident}\n{}", "=".repeat(width), "-".repeat(width))?;
        let task = format!("{}/{}", self.comm, self.pid);
        match &self.detail {
            Detail::Recursive { next, prev } => recursive(out, &task, next, prev)?,
            Detail::Circular { next, prev, cycle } => circular(out, &task, next, prev, cycle)?,
            Detail::UnlockBalance { name } => {
                writeln!(out, "{task} is trying to release lock ({name}) at:")?;
                stack(out, "", &self.site)?;
                writeln!(out, "but there are no more locks to release!\n\n{OTHER_INFO}")?;
            }
            Detail::BadContention { name } => {
                writeln!(out, "{task} is trying to contend lock ({name}) at:")?;
                stack(out, "", &self.site)?;
                writeln!(out, "but there are no locks held!\n\n{OTHER_INFO}")?;
            }
            Detail::InconsistentState { .. } | Detail::IrqInversion { .. } | Detail::IrqUnsafe { .. } => {
                self.irq_head(out, &task)?;
            }
            Detail::InvalidWaitContext { lock, context } => {
                writeln!(out, "{task} is trying to lock:\n{lock}\n{OTHER_INFO}\ncontext-{{{context}:{context}}}")?;
            }
            Detail::NestedLockNotTaken { lock, nest_lock } => {
                writeln!(out, "{task} is trying to lock:\n{lock}\n\nbut this task is not holding:\n{nest_lock}")?;
                self.dump(out, ident)?;
                writeln!(out, "\n{OTHER_INFO}")?;
            }
            Detail::HeldLockFreed { lock, range: (first, last) } => {
                writeln!(
                    out,
                    "{task} is freeing memory {first:016x}-{last:016x}, with a lock still held there!\n{lock}"
                )?;
            }
            Detail::LocksHeldAtExit => {}
            Detail::LocksHeldInUserspace => writeln!(out, "{task} is leaving the kernel with locks still held!")?,
            Detail::SuspiciousRcu { what } => {
                writeln!(out, "{} {what}!\n\n{OTHER_INFO}\n", self.site.location)?;
                writeln!(out, "\nrcu_scheduler_active = 2, debug_locks = 1")?;
            }
            Detail::ReadLockDowngraded { .. }
            | Detail::Pinned { .. }
            | Detail::AssertionFailed { .. }
            | Detail::DebugLocks { .. } => {}
        }
        held_locks(out, &self.comm, self.pid, &self.held)?;
        match &self.detail {
            Detail::LocksHeldInUserspace => return Ok(()),
            Detail::IrqInversion { path, .. } => {
                writeln!(out, "\nthe shortest dependencies between 2nd lock and 1st lock:")?;
                histories(out, path)?;
            }
            Detail::IrqUnsafe { safe_bit, safe, unsafe_, .. } => {
                let class = safe_bit.irq_class().name();
                writeln!(out, "\nthe dependencies between {class}-irq-safe lock and the holding lock:")?;
                histories(out, safe)?;
                writeln!(out, "\nthe dependencies between the lock to be acquired\n and {class}-irq-unsafe lock:")?;
                histories(out, unsafe_)?;
            }
            _ => {}
        }
        // The kernel leaves no line free before the dump of this one.
        if !matches!(self.detail, Detail::InvalidWaitContext { .. }) {
            writeln!(out)?;
        }
        self.dump_now(out, ident)
    }

    /// Whether the kernel says this with `WARN()`.
    const fn is_warning(&self) -> bool {
        matches!(
            self.detail,
            Detail::ReadLockDowngraded { .. }
                | Detail::Pinned { .. }
                | Detail::AssertionFailed { .. }
                | Detail::DebugLocks { .. }
        )
    }

    /// The layout of `WARN()` (`__warn()`, kernel/panic.c). What is held stands where the kernel has its registers.
    fn write_warning(&self, out: &mut String, ident: &str) -> fmt::Result {
        writeln!(out, "\n------------[ cut here ]------------")?;
        match &self.detail {
            Detail::ReadLockDowngraded { lock } => writeln!(out, "downgrading a read lock: {lock}")?,
            Detail::Pinned { what, name } => writeln!(out, "{}: ({name})", what.trim_start_matches("WARNING: "))?,
            Detail::DebugLocks { condition } => writeln!(out, "{condition}")?,
            _ => {}
        }
        write!(out, "WARNING: PID: {} at {}", self.pid, self.site.location)?;
        match self.detail {
            Detail::AssertionFailed { what } => writeln!(out, " {what}")?,
            _ => writeln!(out)?,
        }
        writeln!(out, "PID: {} Comm: {} {ident}", self.pid, self.comm)?;
        held_locks(out, &self.comm, self.pid, &self.held)?;
        writeln!(out, "Call Trace:\n <TASK>")?;
        stack(out, " ? ", &self.site)?;
        writeln!(out, " </TASK>\n---[ end trace ]---")
    }

    fn dump(&self, out: &mut String, ident: &str) -> fmt::Result {
        writeln!(out)?;
        self.dump_now(out, ident)
    }

    fn dump_now(&self, out: &mut String, ident: &str) -> fmt::Result {
        writeln!(out, "stack backtrace:\nPID: {} Comm: {} {ident}\nCall Trace:\n <TASK>", self.pid, self.comm)?;
        stack(out, " ? ", &self.site)?;
        writeln!(out, " </TASK>")
    }

    /// The part before the held locks, of the three kinds of irq report.
    fn irq_head(&self, out: &mut String, task: &str) -> fmt::Result {
        match &self.detail {
            Detail::InconsistentState { lock, old, new, registered_at, irq } => {
                writeln!(out, "inconsistent {{{old}}} -> {{{new}}} usage.\n{task} {} takes:\n{lock}", irq_state(irq))?;
                writeln!(out, "{{{old}}} state was registered at:")?;
                if let Some(at) = registered_at {
                    stack(out, "  ", at)?;
                }
                irq_events(out, irq)?;
                writeln!(out, "\n{OTHER_INFO}")?;
                let name = &lock.class.name;
                writeln!(out, " Possible unsafe locking scenario:\n\n       CPU0\n       ----\n  lock({name});")?;
                writeln!(out, "  <Interrupt>\n    lock({name});\n\n *** DEADLOCK ***\n")
            }
            Detail::IrqInversion { lock, other_bit, forwards, path, .. } => {
                let class = other_bit.irq_class().name();
                writeln!(out, "{task} just changed the state of lock:\n{lock}")?;
                match forwards {
                    true => writeln!(out, "but this lock took another, {class}-unsafe lock in the past:")?,
                    false => writeln!(out, "but this lock was taken by another, {class}-safe lock in the past:")?,
                }
                let other = path.first().map_or(&lock.class, |history| &history.class);
                writeln!(out, " {other}\n\n\nand interrupts could create inverse lock ordering between them.\n\n")?;
                writeln!(out, "{OTHER_INFO}")?;
                // The lock next to the one whose state changed, on the way to the other end.
                let middle = &path[path.len().saturating_sub(2)].class;
                let (safe, unsafe_) = match forwards {
                    true => (&lock.class.name, &other.name),
                    false => (&other.name, &lock.class.name),
                };
                let middle = if middle.name == *safe { unsafe_ } else { &middle.name };
                irq_scenario(out, safe, middle, unsafe_)
            }
            Detail::IrqUnsafe { next, prev, irq, safe_bit, unsafe_bit, safe, unsafe_, .. } => {
                let class = safe_bit.irq_class().name();
                writeln!(out, "{task} {} is trying to acquire:\n{next}", irq_state(irq))?;
                writeln!(out, "\nand this task is already holding:\n{prev}")?;
                writeln!(out, "which would create a new lock dependency:\n {} -> {}", prev.class, next.class)?;
                let ends = [(safe, safe_bit, "safe"), (unsafe_, unsafe_bit, "unsafe")];
                for (list, bit, word) in ends {
                    let Some(end) = list.first() else { continue };
                    match word {
                        "safe" => writeln!(out, "\nbut this new dependency connects a {class}-irq-safe lock:")?,
                        _ => writeln!(out, "\nto a {class}-irq-unsafe lock:")?,
                    }
                    writeln!(out, " {}\n\n... which became {class}-irq-{word} at:", end.class)?;
                    if word == "unsafe" {
                        writeln!(out, "...")?;
                    }
                    if let Some(at) = end.at(*bit) {
                        stack(out, "  ", at)?;
                    }
                }
                writeln!(out, "\n{OTHER_INFO}\n")?;
                let name = |list: &[ClassHistory]| list.first().map(|end| end.class.name.clone()).unwrap_or_default();
                let safe = name(safe);
                let middle = if prev.class.name == safe { &next.class.name } else { &prev.class.name };
                irq_scenario(out, &safe, middle, &name(unsafe_))
            }
            _ => Ok(()),
        }
    }
}

const OTHER_INFO: &str = "other info that might help us debug this:";
const CPU1: &str = "                               ";

fn wants_and_holds(out: &mut String, task: &str, next: &LockText, prev: &LockText) -> fmt::Result {
    writeln!(out, "{task} is trying to acquire lock:\n{next}\n\nbut task is already holding lock:\n{prev}\n")
}

fn recursive(out: &mut String, task: &str, next: &LockText, prev: &LockText) -> fmt::Result {
    wants_and_holds(out, task, next, prev)?;
    writeln!(out, "{OTHER_INFO}\n Possible unsafe locking scenario:\n\n       CPU0\n       ----")?;
    writeln!(out, "  lock({});\n  lock({});", prev.class.name, next.class.name)?;
    writeln!(out, "\n *** DEADLOCK ***\n\n May be due to missing lock nesting notation\n")
}

fn circular(out: &mut String, task: &str, next: &LockText, prev: &LockText, cycle: &[Dependency]) -> fmt::Result {
    wants_and_holds(out, task, next, prev)?;
    writeln!(out, "which lock already depends on the new lock.\n\n")?;
    writeln!(out, "the existing dependency chain (in reverse order) is:")?;
    for (depth, dependency) in cycle.iter().enumerate().rev() {
        writeln!(out, "\n-> #{depth} {}:", dependency.to)?;
        stack(out, "       ", &dependency.taken_at)?;
    }
    writeln!(out, "\n{OTHER_INFO}\n")?;
    circular_scenario(out, next, prev, cycle)
}

/// Two CPUs that block each other. A longer cycle is told by the last lock before the held one.
fn circular_scenario(out: &mut String, next: &LockText, prev: &LockText, cycle: &[Dependency]) -> fmt::Result {
    let (wanted, held) = (&next.class.name, &prev.class.name);
    let parent = cycle.last().map_or(wanted, |dependency| &dependency.from.name);
    if cycle.len() > 2 {
        writeln!(out, "Chain exists of:\n  {wanted} --> {parent} --> {held}\n")?;
    }
    writeln!(out, " Possible unsafe locking scenario:\n")?;
    writeln!(out, "       CPU0                    CPU1\n       ----                    ----")?;
    writeln!(out, "  {}({held});", verb(prev))?;
    writeln!(out, "{CPU1}lock({parent});\n{CPU1}lock({held});")?;
    writeln!(out, "  {}({wanted});\n\n *** DEADLOCK ***\n", verb(next))
}

fn verb(lock: &LockText) -> &'static str {
    match lock.how.read {
        Read::Exclusive => "lock",
        Read::Shared | Read::Recursive => "rlock",
    }
}

/// One CPU holds the unsafe lock and is interrupted by a handler that wants the safe one, which the other CPU holds.
fn irq_scenario(out: &mut String, safe: &str, middle: &str, unsafe_: &str) -> fmt::Result {
    if middle != unsafe_ {
        writeln!(out, "Chain exists of:\n  {safe} --> {middle} --> {unsafe_}\n")?;
    }
    writeln!(out, " Possible interrupt unsafe locking scenario:\n")?;
    writeln!(out, "       CPU0                    CPU1\n       ----                    ----")?;
    writeln!(out, "  lock({unsafe_});\n{CPU1}local_irq_disable();\n{CPU1}lock({safe});\n{CPU1}lock({middle});")?;
    writeln!(out, "  <Interrupt>\n    lock({safe});\n\n *** DEADLOCK ***\n")
}

/// `[HC0[0]:SC0[0]:HE1:SE1]`: in a hardirq, in a softirq, hardirqs enabled, softirqs enabled. The softirq count is one per
/// handler and two per disabling of bottom halves, as in `preempt_count()`.
fn irq_state(irq: &IrqText) -> String {
    let state = irq.state;
    format!(
        "[HC{}[{}]:SC{}[{}]:HE{}:SE{}]",
        u8::from(state.hardirq_depth > 0),
        state.hardirq_depth,
        state.softirq_depth,
        2 * state.bh_disabled,
        u8::from(state.hardirqs_enabled),
        u8::from(state.softirqs_enabled),
    )
}

fn irq_events(out: &mut String, irq: &IrqText) -> fmt::Result {
    writeln!(out, "irq event stamp: {}", irq.events)?;
    let what = ["hardirqs last  enabled", "hardirqs last disabled", "softirqs last  enabled", "softirqs last disabled"];
    for (what, (event, site)) in what.into_iter().zip(&irq.last) {
        let at = site.as_ref().map_or("0x0", |site| &site.location);
        writeln!(out, "{what} at ({event}): {at}")?;
    }
    Ok(())
}

/// The lists of dependencies of irq reports: each class with all its states, and where it was taken under the next.
fn histories(out: &mut String, list: &[ClassHistory]) -> fmt::Result {
    for (depth, history) in (0..list.len()).rev().zip(list) {
        let indent = " ".repeat(depth);
        writeln!(out, "{indent}-> {} ops: {} {{", history.class, history.ops)?;
        for usage in &history.usages {
            writeln!(out, "{indent}   {} at:", usage.bit)?;
            stack(out, &" ".repeat(2 * depth + 3 + usage.bit.name().len() + 5), &usage.at)?;
        }
        writeln!(out, "{indent} }}\n{indent} ... key      at: ({})", history.class.name)?;
        if let Some(at) = &history.acquired_at {
            writeln!(out, "{indent} ... acquired at:")?;
            stack(out, "   ", at)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn stack(out: &mut String, indent: &str, site: &SiteText) -> fmt::Result {
    writeln!(out, "{indent}{}", site.location)?;
    match &site.frame {
        Some(frame) => writeln!(out, "{indent}{frame}"),
        None => Ok(()),
    }
}
