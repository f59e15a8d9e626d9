//! `reclaim`, `compact` and others: what a scenario asks of reclaim and compaction, and why it was not done.
//!
//! | done | what is said |
//! |---|---|
//! | all | nothing |
//! | a part | a note: how much, and what stands in the way of the first pages |
//! | nothing | in a run of its own the finding PROG-REQUEST; in a run of an exploration a note, since there other tasks come between at random |
//!
//! A page that is in swap already counts as reclaimed.

use crate::judge::Pinner;
use crate::world::Live;
use ksync::current;
use mm::{Mm, Obstacle, Pressure};
use mm_types::{PageRange, Vpn};
use properties::{Code, Finding};

/// Pages whose obstacles are told.
const TOLD: usize = 8;

/// `reclaim MM RANGE`.
pub(crate) fn reclaim_range(live: &Live, mm: usize, pages: PageRange) -> Result<(), String> {
    let (name, mm) = (live.code.mms[mm].name, live.mm(mm)?);
    let freed = mm.reclaim_pages(pages);
    if freed >= pages.nr_pages() {
        return Ok(());
    }
    let why = obstacles(live, &mm, pages, Pressure::Reclaim);
    if why.is_empty() {
        // The rest went by itself, or to somebody else's request.
        return Err(format!("reclaim: {freed} of {} pages freed", pages.nr_pages()));
    }
    unmet(live, freed, &format!("reclaim {name} {}: no page could be freed", text(pages)), why)
        .map_err(|why| format!("reclaim: {freed} of {} pages freed; {why}", pages.nr_pages()))
}

/// `reclaim N pages`.
pub(crate) fn reclaim_pages(live: &Live, nr_pages: u64) -> Result<(), String> {
    let freed = live.machine().shrink(nr_pages);
    if freed >= nr_pages {
        return Ok(());
    }
    let mut why = Vec::new();
    for mm in live.all_mms() {
        let mapped = mm.vmas().into_iter().filter_map(|vma| first_unreclaimable(live, &mm, vma.range()));
        why.extend(mapped);
    }
    why.truncate(TOLD);
    if why.is_empty() {
        why.push("nothing is in memory that could be reclaimed".to_owned());
    }
    unmet(live, freed, &format!("reclaim {nr_pages} pages: no page could be freed"), why)
        .map_err(|why| format!("reclaim: {freed} of {nr_pages} pages freed; {why}"))
}

/// `oom_kill`: what there is to be killed is.
pub(crate) fn oom_kill(live: &Live) -> Result<(), String> {
    match live.machine().oom_kill() {
        Some(_victim) => Ok(()),
        None => {
            let why =
                "every process is gone, reaped already, or may not be killed (oom_score_adj 1000 minus)".to_owned();
            unmet(live, 0, "oom_kill: no killable process", vec![why]).map_err(|why| format!("oom_kill: {why}"))
        }
    }
}

/// `compact MM RANGE`.
pub(crate) fn compact(live: &Live, mm: usize, pages: PageRange) -> Result<(), String> {
    let (name, mm) = (live.code.mms[mm].name, live.mm(mm)?);
    let done = mm.compact(pages);
    if done.busy == 0 && done.no_memory == 0 && done.moved > 0 {
        return Ok(());
    }
    let mut why = obstacles(live, &mm, pages, Pressure::Compact);
    if done.no_memory > 0 {
        why.push(format!("there was no free frame for {} pages", done.no_memory));
    }
    if why.is_empty() {
        why.push("whoever was in the way has gone since".to_owned());
    }
    unmet(live, done.moved, &format!("compact {name} {}: no page could be moved", text(pages)), why)
        .map_err(|why| format!("compact: {} pages moved, {} busy; {why}", done.moved, done.busy))
}

/// `compact_memory`. That nothing moves is no failure: nothing may be in the way of a large block. What could not is a note.
pub(crate) fn compact_memory(live: &Live) -> Result<(), String> {
    let done = live.machine().compact_memory();
    if done.busy == 0 { Ok(()) } else { Err(format!("compact_memory: {} pages moved, {} busy", done.moved, done.busy)) }
}

/// `compact_until MM ADDR`.
pub(crate) fn compact_until(live: &Live, mm: usize, vpn: Vpn) -> Result<(), String> {
    let (name, mm) = (live.code.mms[mm].name, live.mm(mm)?);
    let (moved, done) = mm.compact_until_moved(vpn).unwrap_or_default();
    if moved {
        return Ok(());
    }
    let mut why = obstacles(live, &mm, PageRange::page(vpn), Pressure::Compact);
    if why.is_empty() {
        let folio = mm.pte(vpn).mapped_pfn().map(|pfn| live.machine().folio_of(pfn));
        why.push(match folio.is_some_and(|frames| frames.start() != frames.end()) {
            true => "it is a part of a huge page, which is in no block's way".to_owned(),
            false => "no block above the one that it is in has a free frame".to_owned(),
        });
    }
    let title = format!("compact_until {name} {}: the page did not move", vpn.addr());
    unmet(live, 0, &title, why).map_err(|why| format!("compact_until: {} other pages moved; {why}", done.moved))
}

/// A finding if nothing was done; the reasons are the note in any case.
fn unmet(live: &Live, done: u64, title: &str, why: Vec<String>) -> Result<(), String> {
    let note = why.join("; ");
    if done == 0 {
        let title = format!("{title}: {}", why.first().map_or("", String::as_str));
        let (step, task) = current(|k| (k.steps(), k.current_task()));
        live.unmet(Finding::new(Code::ProgRequest, step, Some(task), title, why));
    }
    Err(note)
}

/// What is in the way of the first pages that stay; of those that are not mapped the first, and last.
fn obstacles(live: &Live, mm: &Mm, pages: PageRange, asked: Pressure) -> Vec<String> {
    let mut unmapped = None;
    let stays = pages.iter().filter_map(|vpn| match mm.obstacle(vpn, asked)? {
        (Obstacle::NotMapped, _) => {
            unmapped = unmapped.or(Some(vpn));
            None
        }
        (obstacle, pfn) => Some(line(live, vpn, obstacle, pfn)),
    });
    let mut told: Vec<String> = stays.take(TOLD).collect();
    told.extend(unmapped.map(|vpn| line(live, vpn, Obstacle::NotMapped, None)));
    told
}

fn first_unreclaimable(live: &Live, mm: &Mm, pages: PageRange) -> Option<String> {
    // Of a mapping that is larger the first pages will do.
    let first = PageRange::with_len(pages.start(), pages.nr_pages().min(512))?;
    first.iter().find_map(|vpn| match mm.obstacle(vpn, Pressure::Reclaim)? {
        (Obstacle::NotMapped | Obstacle::Never(_), _) => None,
        (obstacle, pfn) => Some(line(live, vpn, obstacle, pfn)),
    })
}

/// `page 0x10000 is pinned by gpu0 (frame 1280)`.
fn line(live: &Live, vpn: Vpn, obstacle: Obstacle, pfn: Option<mm_types::Pfn>) -> String {
    let who: Vec<String> = live.counted(|counts| match (obstacle, pfn) {
        (Obstacle::Pinned(_) | Obstacle::Held(_), Some(pfn)) => {
            // Pins of a huge page count for all of it.
            let head = live.machine().folio_of(pfn);
            let names = counts.pinners(*head.start(), head.end().0 - head.start().0 + 1).into_iter();
            names.map(|pinner| pinner_name(live, pinner)).collect()
        }
        (Obstacle::Locked(lock), _) => counts.holder(lock).map(|task| task_name(live, task)).into_iter().collect(),
        _ => Vec::new(),
    });
    let by = if who.is_empty() { String::new() } else { format!(" by {}", who.join(", ")) };
    let frame = pfn.map_or_else(String::new, |pfn| format!(" (frame {pfn})"));
    format!("page {} {obstacle}{by}{frame}", vpn.addr())
}

fn pinner_name(live: &Live, pinner: Pinner) -> String {
    match pinner {
        Pinner::Device(name) => name.to_string(),
        Pinner::Task(task) => task_name(live, task),
    }
}

fn task_name(live: &Live, task: mm_types::TaskId) -> String {
    let spec = (task.0 as usize).checked_sub(1).and_then(|at| live.code.tasks.get(at));
    spec.map_or_else(|| format!("task {}", task.0), |spec| format!("task {}", spec.name))
}

fn text(pages: PageRange) -> String {
    format!("{}..{}", pages.start().addr(), pages.end().addr())
}
