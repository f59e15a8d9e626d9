//! Reports in the kernel's layout: its order of parts, headings, indents and blank lines.
//!
//! Where the kernel prints addresses of code, source locations stand. The line of `dump_stack()` names no CPU, since the
//! validator knows none.

use core::fmt::{self, Write};

use crate::acquire::Read;
use crate::report::{ClassText, Dependency, Detail, LockText, Report, SiteText};

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
        let title = self.title();
        writeln!(out, "\n{}\n{title}\n{ident}\n{}", "=".repeat(title.len()), "-".repeat(title.len()))?;
        match &self.detail {
            Detail::Recursive { next, prev } => self.recursive(out, next, prev)?,
            Detail::Circular { next, prev, cycle } => self.circular(out, next, prev, cycle)?,
            Detail::UnlockBalance { name } => self.unlock_balance(out, name)?,
            Detail::ReadLockDowngraded { lock } => {
                writeln!(out, "{}/{} is downgrading a lock that is held shared:\n{lock}\n", self.comm, self.pid)?;
                writeln!(out, "other info that might help us debug this:")?;
            }
        }
        held_locks(out, &self.comm, self.pid, &self.held)?;
        writeln!(out, "\nstack backtrace:\nPID: {} Comm: {} {ident}\nCall Trace:\n <TASK>", self.pid, self.comm)?;
        stack(out, " ? ", &self.site)?;
        writeln!(out, " </TASK>")
    }

    fn wants_and_holds(&self, out: &mut String, next: &LockText, prev: &LockText) -> fmt::Result {
        writeln!(out, "{}/{} is trying to acquire lock:\n{next}\n", self.comm, self.pid)?;
        writeln!(out, "but task is already holding lock:\n{prev}\n")
    }

    fn recursive(&self, out: &mut String, next: &LockText, prev: &LockText) -> fmt::Result {
        self.wants_and_holds(out, next, prev)?;
        writeln!(out, "other info that might help us debug this:")?;
        writeln!(out, " Possible unsafe locking scenario:\n\n       CPU0\n       ----")?;
        writeln!(out, "  lock({});\n  lock({});", prev.class.name, next.class.name)?;
        writeln!(out, "\n *** DEADLOCK ***\n\n May be due to missing lock nesting notation\n")
    }

    fn circular(&self, out: &mut String, next: &LockText, prev: &LockText, cycle: &[Dependency]) -> fmt::Result {
        self.wants_and_holds(out, next, prev)?;
        writeln!(out, "which lock already depends on the new lock.\n\n")?;
        writeln!(out, "the existing dependency chain (in reverse order) is:")?;
        for (depth, dependency) in cycle.iter().enumerate().rev() {
            writeln!(out, "\n-> #{depth} {}:", dependency.to)?;
            stack(out, "       ", &dependency.taken_at)?;
        }
        writeln!(out, "\nother info that might help us debug this:\n")?;
        circular_scenario(out, next, prev, cycle)
    }

    fn unlock_balance(&self, out: &mut String, name: &str) -> fmt::Result {
        writeln!(out, "{}/{} is trying to release lock ({name}) at:", self.comm, self.pid)?;
        stack(out, "", &self.site)?;
        writeln!(out, "but there are no more locks to release!\n")?;
        writeln!(out, "other info that might help us debug this:")
    }
}

/// Two CPUs that block each other. A longer cycle is told by the last lock before the held one.
fn circular_scenario(out: &mut String, next: &LockText, prev: &LockText, cycle: &[Dependency]) -> fmt::Result {
    const CPU1: &str = "                               ";
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

fn stack(out: &mut String, indent: &str, site: &SiteText) -> fmt::Result {
    writeln!(out, "{indent}{}", site.location)?;
    match &site.frame {
        Some(frame) => writeln!(out, "{indent}{frame}"),
        None => Ok(()),
    }
}
