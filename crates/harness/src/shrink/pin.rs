//! From a schedule to clauses: `order` pins and `steer` choices under which any benign run of the scenario shows the finding.
//!
//! A schedule counts steps, and a yield point more or less makes it another one. Pins name places. The run that showed the
//! finding says which task passed which place before another reached which; all of these together leave the benign runs
//! no other way at the places that have names. What is not needed is left out again, one pin at a time, as long as every run
//! of [`SEEDS`] seeds still shows the finding.

use super::reduce::{with_syncs, without_idle_syncs};
use super::search::Search;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use crate::trail::{Course, CourseScheduler};
use crate::world::World;
use ksync::{AtPoint, ChoiceKind, PagePick};
use mm_types::Name;
use scenario::ast::{Pin, PinPoint, Steer, SteeredChoice, Taken};
use scenario::{SYNC_POINTS, Scenario, Spanned};
use std::collections::{BTreeMap, BTreeSet};

/// Benign runs that must show it, each with a seed of its own.
pub(super) const SEEDS: u64 = 24;

/// `scenario` with the clauses that make its benign runs show what `course` shows; none if the places that have names do not
/// suffice.
pub(super) fn pinned(search: &mut Search<'_>, scenario: &Scenario, course: &Course) -> Option<Scenario> {
    let mut steered = scenario.clone();
    steered.steer.extend(steers(scenario, course, &picked(search, scenario, course)?)?);
    if always(search, &steered) {
        return Some(steered);
    }
    let woven = with_syncs(&steered);
    // What is steered is no choice any more.
    let turns = Course { turns: course.turns.clone(), ..Course::default() };
    let points = points(search, &woven, &turns)?;
    let mut pinned = READINGS.iter().find_map(|goes_on| {
        let mut pinned = woven.clone();
        pinned.order.extend(pins(&woven, &points, *goes_on));
        always(search, &pinned).then_some(pinned)
    })?;
    let mut part = pinned.order.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < pinned.order.len() {
            let mut less = pinned.clone();
            less.order.drain(at..(at + part).min(pinned.order.len()));
            if always(search, &less) {
                pinned = less;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    let clean = without_idle_syncs(&pinned);
    Some(if always(search, &clean) { clean } else { pinned })
}

/// Whether every benign run shows it.
pub(super) fn always(search: &mut Search<'_>, scenario: &Scenario) -> bool {
    let Some(mut subject) = search.load(scenario) else { return false };
    (0..SEEDS).all(|seed| {
        let recipe = Recipe { mode: Mode::Benign, seed, run: 0 };
        search.attempt(&mut subject.world, &mut RecipeScheduler::new(recipe)).is_some()
    })
}

/// The choices of the course as clauses, pages by where they are mapped: then a page more or less makes no difference. None
/// if one is of a kind that no clause can name, or of no task of the file.
fn steers(scenario: &Scenario, course: &Course, picked: &Picked) -> Option<Vec<Spanned<Steer>>> {
    let Picked { pages, names } = picked;
    let of_the_file = |id: u32| {
        let name = names.get(id as usize)?;
        scenario.tasks.iter().find(|task| task.name.as_str() == name.as_str())
    };
    let page = |(task, kind, nth): (mm_types::TaskId, ChoiceKind, u32)| {
        let pick = pages.iter().find(|pick| (pick.task, pick.kind, pick.nth) == (task, kind, nth))?;
        let (mm, vpn) = pick.place;
        scenario
            .mms
            .iter()
            .any(|known| known.name.as_str() == mm.as_str())
            .then(|| Taken::Page { mm: Spanned::from(mm.as_str().to_owned()), addr: vpn.addr() })
    };
    // That of a task bears its name: then a task more or less makes no difference.
    let cpu = |kind, option: u32| {
        let task = of_the_file(option)?;
        let of_cpus = matches!(kind, ChoiceKind::Interrupt | ChoiceKind::Timer) && task.interrupt.is_none();
        of_cpus.then(|| Taken::Cpu(Spanned::from(task.name.node.clone())))
    };
    let one = |((task, kind, nth), option): (&(mm_types::TaskId, ChoiceKind, u32), &u32)| {
        let takes = page((*task, *kind, *nth)).or_else(|| cpu(*kind, *option)).unwrap_or(Taken::Option(*option));
        let task = of_the_file(task.0)?;
        let choice = match kind {
            ChoiceKind::EntersReclaim => SteeredChoice::Reclaim,
            ChoiceKind::AllocFails => SteeredChoice::Fail,
            ChoiceKind::Victim => SteeredChoice::Victim,
            ChoiceKind::Load => SteeredChoice::Load,
            ChoiceKind::Store => SteeredChoice::Store,
            ChoiceKind::Interrupt => SteeredChoice::Interrupt,
            ChoiceKind::Timer => SteeredChoice::Timer,
            _ => return None,
        };
        let name = Spanned::from(task.name.node.clone());
        let (choice, nth, takes) = (Spanned::from(choice), Spanned::from(*nth), Spanned::from(takes));
        Some(Spanned::from(Steer { task: name, choice, nth, takes }))
    };
    course.picks.iter().map(one).collect()
}

/// Who reached and passed which point, in order, in the run that `course` gives.
fn points(search: &mut Search<'_>, scenario: &Scenario, course: &Course) -> Option<Vec<AtPoint>> {
    traced(search, scenario, course, World::points)
}

/// What the numbers in a course mean.
#[derive(Default)]
struct Picked {
    /// The choices among pages.
    pages: Vec<PagePick>,
    /// The names of tasks, by id.
    names: Vec<Name>,
}

/// The same of the run that `course` gives.
fn picked(search: &mut Search<'_>, scenario: &Scenario, course: &Course) -> Option<Picked> {
    if course.picks.is_empty() {
        return Some(Picked::default());
    }
    traced(search, scenario, course, |world| Picked { pages: world.page_picks(), names: world.task_names() })
}

fn traced<T>(search: &mut Search<'_>, scenario: &Scenario, course: &Course, what: fn(&World) -> T) -> Option<T> {
    let mut subject = search.load(scenario)?;
    subject.world.trace_points(true);
    search.attempt(&mut subject.world, &mut CourseScheduler::new(course))?;
    Some(what(&subject.world))
}

/// When a task that has reached a point goes on, as a number of an entry of the trace.
type GoesOn = fn(&[AtPoint], usize) -> usize;

/// From the most to the least that a run may say. A task reaches a point before the schedule decides whether it goes on
/// there: what others pass meanwhile comes before what it does there, unless it has done something that has no name.
const READINGS: [GoesOn; 2] = [|points, at| next_of_task(points, at), |_, at| at];

/// The next entry of the same task; the end of the trace, if it never got any further.
fn next_of_task(points: &[AtPoint], at: usize) -> usize {
    let later = points[at + 1..].iter().position(|p| p.task == points[at].task);
    later.map_or(points.len(), |n| at + 1 + n)
}

/// For each point that a task reached, the last point that each other task had passed when it went on, if that says more
/// than what was said at the task's points before. What counts is the first time, as for a pin.
fn pins(scenario: &Scenario, points: &[AtPoint], goes_on: GoesOn) -> Vec<Spanned<Pin>> {
    let tasks: BTreeSet<&str> = scenario.tasks.iter().map(|t| t.name.as_str()).collect();
    let usable = |p: &AtPoint| tasks.contains(p.task.as_str()) && can_be_named(scenario, p.point.as_str());
    let mut seen = BTreeSet::new();
    let first: Vec<usize> = (0..points.len())
        .filter(|&at| usable(&points[at]) && seen.insert((points[at].task, points[at].point, points[at].passed)))
        .collect();
    let mut said: BTreeMap<(Name, Name), usize> = BTreeMap::new();
    let mut pins = Vec::new();
    for &at in first.iter().filter(|&&at| !points[at].passed) {
        let here = points[at];
        let passed =
            first.iter().filter(|&&p| points[p].passed && p < goes_on(points, at) && points[p].task != here.task);
        // The last one of each task.
        let last: BTreeMap<Name, usize> = passed.map(|&p| (points[p].task, p)).collect();
        for (other, p) in last {
            if said.get(&(here.task, other)).is_none_or(|before| *before < p) {
                said.insert((here.task, other), p);
                pins.push(pin((other, points[p].point), (here.task, here.point)));
            }
        }
    }
    pins
}

fn pin(before: (Name, Name), after: (Name, Name)) -> Spanned<Pin> {
    let point = |(task, point): (Name, Name)| {
        Spanned::from(PinPoint { task: task.as_str().to_owned(), point: point.as_str().to_owned() })
    };
    Spanned::from(Pin { before: point(before), after: point(after) })
}

/// Whether a scenario can name the point: one of the language's, a `sync`, a lock of `globals`, or a lock or an operation of a
/// device. Locks of the kernel have classes for names, which no pin can spell.
fn can_be_named(scenario: &Scenario, point: &str) -> bool {
    let of_device = || {
        let device = point.split_once('.').map_or("", |(device, _)| device);
        scenario.devices.iter().any(|d| d.name.as_str() == device)
    };
    let global = || scenario.globals.iter().any(|global| global.name().as_str() == point);
    SYNC_POINTS.contains(&point) || point.starts_with("user.") || global() || of_device()
}
