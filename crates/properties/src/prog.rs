//! PROG and PANIC: how the run ended.

use crate::book::Book;
use crate::finding::Sink;
use crate::{Code, Finding, Variant, Variants};
use mm_types::TaskId;
use trace::{BlockedTask, Event, EventKind, LockMode, RunEnd};

#[derive(Debug, Default)]
pub(crate) struct Prog;

impl Prog {
    /// Beside the end of the run: who is there and who returned. What the blocked tasks wait for and hold comes with
    /// the end itself, so the operations they are blocked in count as read.
    pub(crate) const READS: Variants = Variants::of(&[Variant::TaskSpawned, Variant::TaskExited, Variant::OutOfMemory]);

    /// An allocation that reclaim could not serve, with nobody to kill for it: the kernel panics there.
    pub(crate) fn event(&self, book: &Book, e: &Event, sink: &mut Sink) {
        if let EventKind::OutOfMemory { victim: None, .. } = e.kind {
            let title = "out of memory and no killable process: the system is deadlocked on memory".to_owned();
            let calls = book.calls(e.task);
            let details = if calls.is_empty() { Vec::new() } else { vec![format!("in {}", book.call(&calls, e.task))] };
            sink.push(Finding::new(Code::ProgDeadlock, e.step, Some(e.task), title, details));
        }
    }

    pub(crate) fn end(&self, book: &Book, end: &RunEnd, sink: &mut Sink) {
        let step = book.last_step;
        match end {
            RunEnd::Finished => left_behind(book, sink),
            RunEnd::Deadlock { blocked, cycle } => sink.push(deadlock(book, step, blocked, cycle)),
            RunEnd::MaxSteps { max_steps } => {
                let running = unfinished(book).join(", ");
                let title = format!("no end within {max_steps} visible operations");
                let mut details = vec![format!("tasks that did not return: {running}")];
                details.extend(without_progress(book));
                sink.push(Finding::new(Code::ProgLivelock, step, None, title, details));
            }
            RunEnd::Panicked { task, message, location } => {
                let title = format!("task {} panicked: {}", book.task_name(*task), first_line(message));
                let mut details: Vec<String> = message.lines().skip(1).map(str::to_owned).collect();
                details.extend(location.iter().map(|at| format!("at {at}")));
                let calls = book.calls(*task);
                if !calls.is_empty() {
                    details.push(format!("during {}", book.call(&calls, *task)));
                }
                sink.push(Finding::new(Code::Panic, step, Some(*task), title, details));
            }
            RunEnd::Stopped | RunEnd::Diverged { .. } => {}
        }
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or("")
}

fn unfinished(book: &Book) -> Vec<String> {
    let tasks = book.tasks.rows().iter().filter(|t| t.spawned && !t.exited);
    tasks.map(|t| book.task_name(t.id)).collect()
}

/// What tasks that did not return did again and again.
fn without_progress(book: &Book) -> impl Iterator<Item = String> + '_ {
    let busy = book.tasks.rows().iter().filter(|t| t.spawned && !t.exited && t.retries + t.announced > 0);
    busy.map(|t| {
        let (name, retries, announced) = (book.task_name(t.id), t.retries, t.announced);
        format!("{name}: told {retries} times by read_retry to begin again, announced {announced} invalidations")
    })
}

fn left_behind(book: &Book, sink: &mut Sink) {
    let names = unfinished(book);
    if !names.is_empty() {
        let title = format!("the run finished and left tasks behind: {}", names.join(", "));
        sink.push(Finding::new(Code::ProgDeadlock, book.last_step, None, title, Vec::new()));
    }
}

fn deadlock(book: &Book, step: u64, blocked: &[BlockedTask], cycle: &[TaskId]) -> Finding {
    let row = |id: &TaskId| blocked.iter().find(|b| b.task == *id);
    let mut ring: Vec<&BlockedTask> = cycle.iter().filter_map(row).collect();
    // The same cycle is the same finding wherever the search for it began.
    if let Some(first) = (0..ring.len()).min_by_key(|&i| (ring[i].name, ring[i].task)) {
        ring.rotate_left(first);
    }
    let title = if ring.is_empty() {
        let waits: Vec<String> = blocked.iter().map(|b| format!("{} waits for {}", b.name, b.waits_for.what)).collect();
        format!("no task can run and nobody owes a wake-up: {}", waits.join("; "))
    } else {
        let waits: Vec<String> = ring.iter().map(|b| waits_on(book, blocked, b)).collect();
        format!("deadlock: {}", waits.join("; "))
    };
    let rest = blocked.iter().filter(|b| !cycle.contains(&b.task));
    let mut details = Vec::new();
    ring.iter().for_each(|b| describe(book, blocked, b, "", &mut details));
    let label = if ring.is_empty() { "" } else { "also blocked: " };
    rest.for_each(|b| describe(book, blocked, b, label, &mut details));
    Finding::new(Code::ProgDeadlock, step, ring.first().or(blocked.first().as_ref()).map(|b| b.task), title, details)
}

/// `a waits for mutex_b, held by b`; a holder that is not blocked is named too.
fn waits_on(book: &Book, blocked: &[BlockedTask], b: &BlockedTask) -> String {
    let name = |id: TaskId| {
        let row = blocked.iter().find(|b| b.task == id);
        row.map_or_else(|| book.task_name(id), |b| b.name.as_str().to_owned())
    };
    let what = b.waits_for.what;
    match b.waits_for.holders.as_slice() {
        [] => format!("{} waits for {what}", b.name),
        [me] if *me == b.task => format!("{} waits for {what}, held by itself", b.name),
        holders => {
            let names: Vec<String> = holders.iter().map(|h| name(*h)).collect();
            format!("{} waits for {what}, held by {}", b.name, names.join(", "))
        }
    }
}

fn describe(book: &Book, blocked: &[BlockedTask], b: &BlockedTask, label: &str, details: &mut Vec<String>) {
    // A wait for an order pin has no place in the code.
    let site = &b.waits_for.site;
    let at = if site.is_empty() { String::new() } else { format!(" at {site}") };
    details.push(format!("{label}task {}{at}", waits_on(book, blocked, b)));
    let calls = book.calls(b.task);
    if !calls.is_empty() {
        details.push(format!("  in {}", book.call(&calls, b.task)));
    }
    for held in &b.holds {
        let mode = if held.mode == LockMode::Shared { " (shared)" } else { "" };
        details.push(format!("  holds {} {}{mode}, taken at {}", held.kind.word(), held.class, held.site));
    }
    if b.holds.is_empty() {
        details.push("  holds nothing".to_owned());
    }
}
