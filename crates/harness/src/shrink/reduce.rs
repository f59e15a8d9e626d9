//! Scenarios that are a little smaller than a given one: with one thing less, or with one thing made simpler.
//!
//! Nothing here knows what is looked for, nor whether what it makes is still a scenario: whoever tries it finds out.

use mm_types::{PageRange, TaskId};
use scenario::ast::{
    Argument, Condition, DeviceBody, DriverStatement, GlobalStatement, InlineDriver, RangeExpr, Statement, Value,
};
use scenario::{Scenario, Spanned};
use std::collections::BTreeSet;

/// A smaller scenario.
pub(super) struct Smaller {
    pub(super) scenario: Scenario,
    /// The task that is gone; those behind it have moved up.
    pub(super) without: Option<TaskId>,
}

impl From<Scenario> for Smaller {
    fn from(scenario: Scenario) -> Smaller {
        Smaller { scenario, without: None }
    }
}

/// Makes the smaller ones of one kind, in a fixed order.
pub(super) type Reduction = fn(&Scenario) -> Vec<Smaller>;

/// The kinds, in the order in which they are tried: tasks, then operations, then everything around them.
pub(super) const REDUCTIONS: [Reduction; 6] = [tasks, operations, clauses, drivers, surroundings, ranges];

/// Without one task; the last first, since earlier ones set the scene.
fn tasks(s: &Scenario) -> Vec<Smaller> {
    let without = |at: usize| {
        let mut scenario = s.clone();
        let name = scenario.tasks.remove(at).node.name.node;
        scenario.order.retain(|pin| pin.before.task != name && pin.after.task != name);
        scenario.steer.retain(|steer| steer.task.node != name);
        Smaller { scenario, without: Some(TaskId(at as u32 + 1)) }
    };
    (0..s.tasks.len()).rev().map(without).collect()
}

/// Without half of a task's statements, a quarter, and so on; then with one statement less at any depth, or with the body of
/// one in its place.
fn operations(s: &Scenario) -> Vec<Smaller> {
    let mut all = Vec::new();
    for (at, task) in s.tasks.iter().enumerate() {
        let meant = |body: &[Spanned<Statement>]| asks_of_loads(body, &mut BTreeSet::new());
        let must = meant(&task.body);
        let bodies = parts(&task.body).into_iter().chain(variants(&task.body));
        all.extend(bodies.filter(|body| !must || meant(body)).map(|body| {
            let mut scenario = s.clone();
            scenario.tasks[at].node.body = body;
            Smaller::from(scenario)
        }));
    }
    all
}

/// Whether whatever `body` asks of a register, it has loaded before: of one that it has not, a check fails for nothing.
fn asks_of_loads<'a>(body: &'a [Spanned<Statement>], loaded: &mut BTreeSet<&'a str>) -> bool {
    body.iter().all(|statement| {
        let asks = match &statement.node {
            Statement::Global(GlobalStatement::Load { register, .. }) => {
                loaded.insert(&register.node);
                None
            }
            Statement::Global(GlobalStatement::If { condition, .. } | GlobalStatement::Check { condition }) => {
                Some(&condition.node)
            }
            _ => None,
        };
        let known = asks.is_none_or(|Condition { register, value, .. }| {
            let of_value = match &value.node {
                Value::Number(_) => true,
                Value::Register(name) => loaded.contains(name.as_str()),
            };
            loaded.contains(register.node.as_str()) && of_value
        });
        known && statement.bodies().into_iter().all(|inside| asks_of_loads(inside, loaded))
    })
}

/// `body` without a stretch of it, the longest stretches first.
fn parts<T: Clone>(body: &[T]) -> Vec<Vec<T>> {
    let mut all = Vec::new();
    let mut size = body.len() / 2;
    while size > 1 {
        let stretch = |from: &usize| [&body[..*from], &body[(from + size).min(body.len())..]].concat();
        all.extend((0..body.len()).step_by(size).collect::<Vec<_>>().iter().map(stretch));
        size /= 2;
    }
    all
}

/// A statement that may have statements inside.
trait Nest: Sized + Clone {
    /// Whether what is inside of it means the same without it.
    fn can_be_unwrapped(&self) -> bool {
        true
    }

    fn bodies(&self) -> Vec<&Vec<Spanned<Self>>>;
    fn bodies_mut(&mut self) -> Vec<&mut Vec<Spanned<Self>>>;
}

impl Nest for Statement {
    /// A check is made where the conditions around it hold: elsewhere it is another.
    fn can_be_unwrapped(&self) -> bool {
        fn checks(statement: &Statement) -> bool {
            matches!(statement, Statement::Global(GlobalStatement::Check { .. }))
                || statement.bodies().into_iter().flatten().any(|inside| checks(&inside.node))
        }
        !(matches!(self, Statement::Global(GlobalStatement::If { .. })) && checks(self))
    }

    fn bodies(&self) -> Vec<&Vec<Spanned<Self>>> {
        match self {
            Statement::With { body, .. }
            | Statement::Repeat { body, .. }
            | Statement::Notify { body, .. }
            | Statement::FileWrite { body, .. }
            | Statement::Global(GlobalStatement::With { body, .. }) => vec![body],
            Statement::Global(GlobalStatement::If { then, otherwise, .. }) => vec![then, otherwise],
            _ => Vec::new(),
        }
    }

    fn bodies_mut(&mut self) -> Vec<&mut Vec<Spanned<Self>>> {
        match self {
            Statement::With { body, .. }
            | Statement::Repeat { body, .. }
            | Statement::Notify { body, .. }
            | Statement::FileWrite { body, .. }
            | Statement::Global(GlobalStatement::With { body, .. }) => vec![body],
            Statement::Global(GlobalStatement::If { then, otherwise, .. }) => vec![then, otherwise],
            _ => Vec::new(),
        }
    }
}

impl Nest for DriverStatement {
    fn bodies(&self) -> Vec<&Vec<Spanned<Self>>> {
        match self {
            DriverStatement::With { body, .. } | DriverStatement::Retry { body } => vec![body],
            DriverStatement::IfBlockable { then, otherwise } => vec![then, otherwise],
            _ => Vec::new(),
        }
    }

    fn bodies_mut(&mut self) -> Vec<&mut Vec<Spanned<Self>>> {
        match self {
            DriverStatement::With { body, .. } | DriverStatement::Retry { body } => vec![body],
            DriverStatement::IfBlockable { then, otherwise } => vec![then, otherwise],
            _ => Vec::new(),
        }
    }
}

/// `body` with one statement less, or with one replaced by what is inside of it, at any depth.
fn variants<T: Nest>(body: &[Spanned<T>]) -> Vec<Vec<Spanned<T>>> {
    let mut all = Vec::new();
    for (at, statement) in body.iter().enumerate() {
        let with = |inside: &[Spanned<T>]| [&body[..at], inside, &body[at + 1..]].concat();
        all.push(with(&[]));
        for (nth, inside) in statement.bodies().into_iter().enumerate() {
            if !inside.is_empty() && statement.node.can_be_unwrapped() {
                all.push(with(inside));
            }
            for less in variants(inside) {
                let mut changed = statement.clone();
                *changed.node.bodies_mut()[nth] = less;
                all.push(with(&[changed]));
            }
        }
    }
    all
}

/// Copies of `s`, each without one element of the list that `of` gives.
fn each_without<T>(s: &Scenario, of: impl Fn(&mut Scenario) -> &mut Vec<T>) -> Vec<Smaller> {
    let len = of(&mut s.clone()).len();
    let without = |at| {
        let mut scenario = s.clone();
        of(&mut scenario).remove(at);
        Smaller::from(scenario)
    };
    (0..len).rev().map(without).collect()
}

/// Without pins, choices and quirks.
fn clauses(s: &Scenario) -> Vec<Smaller> {
    let mut all = Vec::new();
    if s.order.len() > 1 {
        all.push(Scenario { order: Vec::new(), ..s.clone() }.into());
    }
    all.extend(each_without(s, |s| &mut s.order));
    all.extend(each_without(s, |s| &mut s.steer));
    all.extend(each_without(s, |s| &mut s.quirks));
    all
}

/// With drivers that do less.
fn drivers(s: &Scenario) -> Vec<Smaller> {
    let mut all = each_without(s, |s| &mut s.devices);
    for (at, device) in s.devices.iter().enumerate() {
        match &device.body {
            DeviceBody::Named(named) => {
                for option in 0..named.options.len() {
                    let mut scenario = s.clone();
                    if let DeviceBody::Named(named) = &mut scenario.devices[at].node.body {
                        named.options.remove(option);
                    }
                    all.push(scenario.into());
                }
            }
            DeviceBody::Inline(inline) => all.extend(inlines(inline).into_iter().map(|less| {
                let mut scenario = s.clone();
                scenario.devices[at].node.body = DeviceBody::Inline(less);
                Smaller::from(scenario)
            })),
        }
    }
    all
}

fn inlines(driver: &InlineDriver) -> Vec<InlineDriver> {
    let mut all = Vec::new();
    let mut push = |change: &dyn Fn(&mut InlineDriver)| {
        let mut less = driver.clone();
        change(&mut less);
        all.push(less);
    };
    (0..driver.handlers.len()).for_each(|at| push(&|d| drop(d.handlers.remove(at))));
    (0..driver.operations.len()).for_each(|at| push(&|d| drop(d.operations.remove(at))));
    (0..driver.locks.len()).for_each(|at| push(&|d| drop(d.locks.remove(at))));
    for (at, handler) in driver.handlers.iter().enumerate() {
        variants(&handler.body).into_iter().for_each(|body| push(&|d| d.handlers[at].node.body.clone_from(&body)));
    }
    for (at, operation) in driver.operations.iter().enumerate() {
        variants(&operation.body).into_iter().for_each(|body| push(&|d| d.operations[at].node.body.clone_from(&body)));
    }
    all
}

/// With defaults where the scenario asks for something, and less memory set up.
fn surroundings(s: &Scenario) -> Vec<Smaller> {
    let mut all = each_without(s, |s| &mut s.mms);
    all.extend(each_without(s, |s| &mut s.globals));
    for mm in 0..s.mms.len() {
        all.extend(each_without(s, |s| &mut s.mms[mm].node.vmas));
        all.extend(each_without(s, |s| &mut s.mms[mm].node.touches));
    }
    let mut push = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = s.clone();
        change(&mut scenario);
        if scenario != *s {
            all.push(scenario.into());
        }
    };
    push(&|s| s.machine.kswapd = None);
    push(&|s| s.machine.oom_killer = None);
    push(&|s| s.machine.failures = None);
    push(&|s| s.machine.cpus = None);
    push(&|s| s.machine.swap_bytes = None);
    push(&|s| s.machine.memory_bytes = None);
    push(&|s| s.annotations.range_start = None);
    push(&|s| s.annotations.range_end = None);
    push(&|s| s.annotations.wrap_start = None);
    push(&|s| s.annotations.wrap_end = None);
    push(&|s| s.annotations.prime = None);
    push(&|s| s.annotations.touch = None);
    push(&|s| s.annotations.other_callbacks = None);
    push(&|s| s.annotations.srcu = None);
    all
}

/// With one range cut to its first page, or to its first half.
fn ranges(s: &Scenario) -> Vec<Smaller> {
    let mut all = Vec::new();
    for nth in 0..ranges_of(&mut s.clone()).len() {
        for cut in [first_page, first_half] {
            let mut scenario = s.clone();
            let mut ranges = ranges_of(&mut scenario);
            if let Some(less) = cut(*ranges[nth]) {
                *ranges[nth] = less;
                all.push(scenario.into());
            }
        }
    }
    all
}

fn first_page(range: PageRange) -> Option<PageRange> {
    (range.nr_pages() > 1).then(|| PageRange::page(range.start()))
}

fn first_half(range: PageRange) -> Option<PageRange> {
    let middle = mm_types::Vpn(range.start().0 + range.nr_pages() / 2);
    (range.nr_pages() > 3).then(|| PageRange::new(range.start(), middle).ok()).flatten()
}

/// Every range of the scenario, those of the tasks first.
fn ranges_of(s: &mut Scenario) -> Vec<&mut PageRange> {
    let mut all = Vec::new();
    s.tasks.iter_mut().for_each(|task| task.node.body.iter_mut().for_each(|st| in_statement(&mut st.node, &mut all)));
    for device in &mut s.devices {
        all.extend(device.node.range.as_mut().map(|r| &mut r.node));
        if let DeviceBody::Inline(inline) = &mut device.node.body {
            let handlers = inline.handlers.iter_mut().map(|h| &mut h.node.body);
            let operations = inline.operations.iter_mut().map(|o| &mut o.node.body);
            handlers.chain(operations).flatten().for_each(|st| in_driver(&mut st.node, &mut all));
        }
    }
    for mm in &mut s.mms {
        all.extend(mm.node.touches.iter_mut().map(|t| &mut t.node));
        all.extend(mm.node.vmas.iter_mut().map(|v| &mut v.node.range.node));
    }
    all
}

fn in_statement<'a>(statement: &'a mut Statement, all: &mut Vec<&'a mut PageRange>) {
    match statement {
        Statement::Mmap { range, .. }
        | Statement::Munmap { range, .. }
        | Statement::Mprotect { range, .. }
        | Statement::Touch { range, .. }
        | Statement::ReclaimRange { range, .. }
        | Statement::Compact { range, .. }
        | Statement::Swapin { range, .. } => all.push(&mut range.node),
        Statement::Call { arguments, .. } => all.extend(arguments.iter_mut().filter_map(|a| match &mut a.node {
            Argument::Range(range) => Some(range),
            Argument::Number(_) => None,
        })),
        Statement::Notify { range, body, .. } => {
            all.push(&mut range.node);
            body.iter_mut().for_each(|st| in_statement(&mut st.node, all));
        }
        _ => statement.bodies_mut().into_iter().flatten().for_each(|st| in_statement(&mut st.node, all)),
    }
}

fn in_driver<'a>(statement: &'a mut DriverStatement, all: &mut Vec<&'a mut PageRange>) {
    match statement {
        DriverStatement::Zap(range)
        | DriverStatement::Map(range)
        | DriverStatement::Fault(range)
        | DriverStatement::Pin(range)
        | DriverStatement::Unpin(range) => {
            if let RangeExpr::Pages(range) = &mut range.node {
                all.push(range);
            }
        }
        _ => statement.bodies_mut().into_iter().flatten().for_each(|st| in_driver(&mut st.node, all)),
    }
}

/// Statements of tasks; a `sync` names a place and does nothing, so it is none.
pub(super) fn operations_in(s: &Scenario) -> u64 {
    fn count(body: &[Spanned<Statement>]) -> u64 {
        let one = |st: &Spanned<Statement>| {
            let inside: u64 = st.bodies().into_iter().map(|body| count(body)).sum();
            inside + u64::from(!matches!(st.node, Statement::Sync { .. }))
        };
        body.iter().map(one).sum()
    }
    s.tasks.iter().map(|task| count(&task.body)).sum()
}

/// A `sync` of its own before and after each statement of a task, so that a pin can name every place between two.
pub(super) fn with_syncs(s: &Scenario) -> Scenario {
    fn sync(prefix: &str, next: &mut u32) -> Spanned<Statement> {
        let name = format!("{prefix}{next}");
        *next += 1;
        Spanned::from(Statement::Sync { name: Spanned::from(name) })
    }
    fn weave(body: &mut Vec<Spanned<Statement>>, prefix: &str, next: &mut u32) {
        let mut woven = vec![sync(prefix, next)];
        for mut statement in std::mem::take(body) {
            // Not into what is repeated: a pin means the first time a task gets to its point.
            if !matches!(statement.node, Statement::Repeat { .. }) {
                statement.node.bodies_mut().into_iter().for_each(|body| weave(body, prefix, next));
            }
            woven.extend([statement, sync(prefix, next)]);
        }
        *body = woven;
    }
    let mut scenario = s.clone();
    for (at, task) in scenario.tasks.iter_mut().enumerate() {
        weave(&mut task.node.body, &format!("at{}_", at + 1), &mut 1);
    }
    scenario
}

/// Without one of the `sync` statements whose point no pin names.
pub(super) fn without_idle_syncs(s: &Scenario) -> Scenario {
    let named: Vec<String> =
        s.order.iter().flat_map(|pin| [pin.before.point.clone(), pin.after.point.clone()]).collect();
    fn keep(body: &mut Vec<Spanned<Statement>>, named: &[String]) {
        body.retain(|st| match &st.node {
            Statement::Sync { name } => named.contains(&format!("user.{}", name.node)),
            _ => true,
        });
        body.iter_mut().flat_map(|st| st.node.bodies_mut()).for_each(|inside| keep(inside, named));
    }
    let mut scenario = s.clone();
    scenario.tasks.iter_mut().for_each(|task| keep(&mut task.node.body, &named));
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(tasks: &str) -> Scenario {
        let text =
            format!("scenario \"t\" mm A {{ vma 0x1000..0x9000 rw anon }} device d : list(A) {{ mutex l }} {tasks}");
        scenario::parse("t.mms", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }

    fn bodies(all: &[Smaller]) -> Vec<String> {
        let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let tasks = |s: &Smaller| squeeze(s.scenario.to_string().split_once("task ").map_or("", |(_, t)| t).to_owned());
        all.iter().map(tasks).collect()
    }

    #[test]
    fn one_statement_less_at_any_depth_or_its_body_in_its_place() {
        let s = scenario("task t { yield with d.l { exit A repeat 2 { yield } } }");
        let expect = [
            "t { with d.l { exit A repeat 2 { yield } } }",
            "t { yield }",
            "t { yield exit A repeat 2 { yield } }",
            "t { yield with d.l { repeat 2 { yield } } }",
            "t { yield with d.l { exit A } }",
            "t { yield with d.l { exit A yield } }",
            "t { yield with d.l { exit A repeat 2 {} } }",
        ];
        assert_eq!(bodies(&operations(&s)), expect);
        assert_eq!(operations_in(&s), 5);
    }

    #[test]
    fn a_task_goes_with_its_pins_and_choices() {
        let s = scenario(
            "task a { sync x } task b { sync y } task c { sync z }
             order { a@user.x < b@user.y b@user.y < c@user.z } steer { b reclaim 1 takes 1 c reclaim 1 takes 1 }",
        );
        let less = tasks(&s);
        assert_eq!(less[1].without, Some(TaskId(2)));
        assert_eq!((less[1].scenario.order.len(), less[1].scenario.steer.len()), (0, 1));
        assert_eq!((less[0].scenario.order.len(), less[2].scenario.order.len()), (1, 1));
    }

    #[test]
    fn a_range_is_cut() {
        let s = scenario("task t { munmap A 0x1000..0x9000 }");
        let cut = bodies(&ranges(&s));
        assert_eq!(cut[0], "t { munmap A 0x1000..0x2000 }");
        assert_eq!(cut[1], "t { munmap A 0x1000..0x5000 }");
        // The mapping, too: whoever tries it finds out what it meant.
        assert_eq!(cut.len(), 4);
    }

    #[test]
    fn every_place_between_two_statements_gets_a_name_and_loses_it_unless_it_is_pinned() {
        let s = scenario("task t { yield with d.l { exit A } }");
        let mut woven = with_syncs(&s);
        let text = bodies(&[woven.clone().into()]);
        assert_eq!(text[0], "t { sync at1_1 yield sync at1_2 with d.l { sync at1_3 exit A sync at1_4 } sync at1_5 }");
        assert_eq!(operations_in(&woven), operations_in(&s));
        assert_eq!(without_idle_syncs(&woven), s);
        woven.order = scenario("task t { sync a sync b } order { t@user.a < t@user.b }").order;
        woven.order[0].node.before.node.point = "user.at1_4".to_owned();
        let kept = without_idle_syncs(&woven);
        assert_eq!(
            bodies(&[Smaller::from(Scenario { order: Vec::new(), ..kept })])[0],
            "t { yield with d.l { exit A sync at1_4 } }"
        );
    }
}
