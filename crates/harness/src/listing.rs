//! Everything nameable, as rows of name and one line.

use crate::registry::Registry;
use properties::Code;
use scenario::{DriverWord, MmOp, TaskWord, Word};

/// Drivers, each followed by its operations, options and mutants.
#[must_use]
pub fn drivers(registry: &Registry) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for kind in registry.kinds() {
        rows.push((kind.name.to_owned(), kind.doc.to_owned()));
        for op in kind.ops {
            rows.push((format!("  .{} {}", op.name, op.args), op.doc.to_owned()));
        }
        for option in kind.options {
            rows.push((format!("  {} {}", option.name, option.default), option.doc.to_owned()));
        }
        for mutant in kind.mutants {
            rows.push((format!("  mutant \"{}\"", mutant.name), mutant.doc.to_owned()));
        }
    }
    rows.push(("interval".to_owned(), "an interval subscriber written in the scenario".to_owned()));
    rows.push(("list".to_owned(), "a list subscriber written in the scenario".to_owned()));
    rows
}

/// Finding codes, then the words of `never`.
#[must_use]
pub fn codes() -> Vec<(String, String)> {
    let codes = Code::ALL.iter().map(|c| (c.text().to_owned(), c.meaning().to_owned()));
    let never = Code::NEVER_WORDS.iter().map(|word| {
        let codes: Vec<&str> = Code::never(word).into_iter().flatten().map(|c| c.text()).collect();
        (format!("never {{ {word} }}"), codes.join(", "))
    });
    codes.chain(never).collect()
}

/// Sync points of every world, then the forms of those that devices bring along.
#[must_use]
pub fn sync_points(registry: &Registry) -> Vec<(String, String)> {
    let known = registry.vocabulary();
    let mut rows: Vec<(String, String)> =
        known.sync_points.iter().map(|p| (p.clone(), sync_point_doc(p).to_owned())).collect();
    rows.push(("DEVICE.LOCK".to_owned(), "a lock of an inline driver is acquired".to_owned()));
    rows.push(("DEVICE.OPERATION".to_owned(), "a device's operation".to_owned()));
    rows.push(("user.NAME".to_owned(), "a `sync NAME` statement".to_owned()));
    rows
}

fn sync_point_doc(point: &str) -> &'static str {
    match point {
        "notifier.range_start" => "invalidate_range_start: reached before the first callback, passed after the last",
        "notifier.range_end" => "invalidate_range_end",
        "notifier.callback" => "one callback of one subscriber",
        "notifier.read_begin" => "mmu_interval_read_begin",
        "notifier.read_retry" => "mmu_interval_read_retry",
        "notifier.register" => "registration of a subscriber",
        "notifier.unregister" => "removal of a subscriber",
        "notifier.deferred" => "between an even sequence and what waited for it: with quirk fix-interval-remove-race",
        "notifier.unlinked" => "a subscriber is off the list and not released: with quirk wait-for-release",
        "mm.cow" => "a copy on write after its start; with `lock-vmas-at-registration` only",
        "mm.flush" => "pages were freed and the TLBs were not flushed: with quirk flush-before-free",
        "mm.moved" => "entries moved and were not flushed: with quirk flush-before-unlock-in-mremap",
        "mm.window" => "where a bug that is switched on leaves a window: with the quirks that say so",
        "mm.zap" => "entries of a range are cleared",
        "mm.fault" => "a page fault",
        "mm.reclaim" => "a page is unmapped by reclaim",
        "mm.migrate" => "a page is moved to another frame",
        "mm.free" => "pages go back to the free lists",
        "alloc" => "a kernel allocation",
        "interrupt.arrive" => "an interrupt handler or timer arrives at a CPU",
        _ => "",
    }
}

/// Statements of tasks, then those of inline drivers.
#[must_use]
pub fn statements() -> Vec<(String, String)> {
    let tasks = TaskWord::ALL.iter().map(|w| (w.word().to_owned(), "task".to_owned()));
    let drivers = DriverWord::ALL.iter().map(|w| (w.word().to_owned(), "inline driver".to_owned()));
    let operations = MmOp::ALL.iter().map(|w| (w.word().to_owned(), "kernel operation of a task".to_owned()));
    tasks.chain(operations).chain(drivers).collect()
}

/// Quirks: bugs of the memory manager, then of the notifier framework, that a scenario can switch on.
#[must_use]
pub fn quirks() -> Vec<(String, String)> {
    let mm = mm::Quirks::ALL.iter().map(|(name, _, doc)| (*name, *doc));
    let framework = mmu_notifier::Quirks::ALL.iter().map(|(name, _, doc)| (*name, *doc));
    mm.chain(framework).map(|(name, doc)| (name.to_owned(), doc.to_owned())).collect()
}

/// Every behaviour that a scenario may ask for beside its kernel preset, with one line of what it does.
#[must_use]
pub fn behaviours() -> Vec<(String, String)> {
    let mm = mm::Behaviour::ALL.iter().map(|(name, _, doc)| (*name, *doc));
    let framework = mmu_notifier::Behaviour::ALL.iter().map(|(name, _, doc)| (*name, *doc));
    mm.chain(framework).map(|(name, doc)| (name.to_owned(), doc.to_owned())).collect()
}
