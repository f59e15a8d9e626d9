//! A world: the kernel, machine, address spaces, devices and judges of one scenario, built anew for each run.

use crate::compile::{Code, MmSpec, Object};
use crate::devices::{Attached, build_device};
use crate::experiment::Experiment;
use crate::globals::{Globals, memory_model};
use crate::judge::{Counts, Judge};
use crate::life::{Gone, kept};
use crate::matrix::LockCounts;
use crate::pressure::Heard;
use crate::prove::Witness;
use crate::pulse::Pulse;
use crate::recorded::{self, Played};
use crate::registry::Registry;
use crate::report::{Found, IDENT, RunReport, lock_rule};
use crate::shrink::Essence;
use crate::task;
use crate::token::{Mode, Origin, Token};
use crate::trail::{Recorder, Trail};
use crate::verdict::{Facts, judge_assertions, judge_codes};
use ksync::{AtPoint, Kernel, KernelConfig, PagePick, current};
use lockdep::Lockdep;
use mm::vma::{MapFlags, MmapArgs, MmapBacking, Placement};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Name, PAGE_SIZE, PageRange, Pgoff, TaskId, VmFlags};
use mmu_notifier::{Annotations, Framework};
use properties::{Code as Rule, Finding};
use sched::Scheduler;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use trace::RunEnd;

/// Everything of one run at a time. Stays on its thread.
pub(crate) struct World {
    experiment: Experiment,
    kernel: Kernel,
    judge: Rc<RefCell<Judge>>,
    traces_points: bool,
    /// What no event told of the last attempt: failed checks, and what was left behind.
    left: Vec<Essence>,
    /// Its operations that failed.
    notes: Vec<String>,
}

/// What the tasks of one run share.
pub(crate) struct Live {
    pub(crate) code: Arc<Code>,
    /// None where nothing needs one.
    machine: Option<Arc<Machine>>,
    registry: Registry,
    judge: Rc<RefCell<Judge>>,
    /// None for one that is not forked yet.
    mms: RefCell<Vec<Option<Arc<Mm>>>>,
    /// None while there is no such mm.
    devices: RefCell<Vec<Option<Rc<Attached>>>>,
    pub(crate) globals: Globals,
    notes: RefCell<Vec<String>>,
    checks: RefCell<Vec<FailedCheck>>,
    /// Requests for memory pressure of which nothing could be done.
    unmet: RefCell<Vec<Finding>>,
    pub(crate) gone: RefCell<Gone>,
    /// Told of each statement that begins.
    pub(crate) pulse: Option<Arc<Pulse>>,
}

/// A check of the scenario that did not hold.
struct FailedCheck {
    /// Its word.
    statement: &'static str,
    frame: Name,
    text: String,
    step: u64,
    task: TaskId,
}

impl Live {
    /// What a scenario of locks and words alone has.
    fn empty(k: &Kernel, experiment: &Experiment, judge: &Rc<RefCell<Judge>>, pulse: Option<Arc<Pulse>>) -> Live {
        Live {
            code: experiment.code.clone(),
            machine: None,
            registry: experiment.registry.clone(),
            judge: Rc::clone(judge),
            mms: RefCell::default(),
            devices: RefCell::default(),
            globals: Globals::build(k, &experiment.code.globals),
            notes: RefCell::default(),
            checks: RefCell::default(),
            unmet: RefCell::default(),
            gone: RefCell::default(),
            pulse,
        }
    }

    /// The machine.
    ///
    /// # Panics
    /// If the scenario is one of locks and words alone.
    pub(crate) fn machine(&self) -> &Arc<Machine> {
        self.machine.as_ref().expect("a scenario that needs a machine has one")
    }

    /// How often pages are pinned.
    pub(crate) fn pinned(&self) -> u64 {
        self.machine.as_ref().map_or(0, |machine| machine.frame_counts().pinned)
    }

    /// What was counted in the run.
    pub(crate) fn counted<R>(&self, f: impl FnOnce(&Counts) -> R) -> R {
        f(&self.judge.borrow().counts)
    }

    /// Writes down that a check of the scenario did not hold: its line, and what it is.
    pub(crate) fn failed(&self, k: &Kernel, frame: Name, statement: &'static str, text: &str) {
        let failed = FailedCheck { frame, statement, text: text.to_owned(), step: k.steps(), task: k.current_task() };
        self.checks.borrow_mut().push(failed);
    }

    /// Writes down that nothing of a request could be done.
    pub(crate) fn unmet(&self, finding: Finding) {
        self.unmet.borrow_mut().push(finding);
    }

    /// The current task does an operation of this device from now on.
    pub(crate) fn operates(&self, device: Option<Name>) {
        let task = current(Kernel::current_task);
        self.judge.borrow_mut().counts.operates(task, device);
    }

    /// The address spaces that are there.
    pub(crate) fn all_mms(&self) -> Vec<Arc<Mm>> {
        self.mms.borrow().iter().flatten().cloned().collect()
    }

    /// An address space.
    ///
    /// # Errors
    /// When it is not forked yet.
    pub(crate) fn mm(&self, index: usize) -> Result<Arc<Mm>, String> {
        let mm = self.mms.borrow()[index].clone();
        mm.ok_or_else(|| format!("{} is not forked yet", self.code.mms[index].name))
    }

    /// A device.
    ///
    /// # Errors
    /// When the mm it belongs to is not forked yet.
    pub(crate) fn device(&self, index: usize) -> Result<Rc<Attached>, String> {
        let device = self.devices.borrow()[index].clone();
        device.ok_or_else(|| format!("the mm of {} is not forked yet", self.code.devices[index].name))
    }

    /// An mm is there from now on, and so are its devices, not registered.
    pub(crate) fn set_mm(&self, k: &Kernel, index: usize, mm: Arc<Mm>) {
        for (at, spec) in self.code.devices.iter().enumerate().filter(|(_, spec)| spec.mm == index) {
            let device = build_device(k, &self.registry, at, &mm, spec);
            self.devices.borrow_mut()[at] = Some(Rc::new(device));
        }
        self.mms.borrow_mut()[index] = Some(mm);
    }

    /// The process of an mm goes on in another one; its devices stay where they are.
    pub(crate) fn replace_mm(&self, index: usize, mm: Arc<Mm>) {
        self.mms.borrow_mut()[index] = Some(mm);
    }

    /// From here on callbacks belong to the operation `text`.
    pub(crate) fn mark(&self, text: &str) {
        if let Some(recorder) = &mut self.judge.borrow_mut().recorder {
            recorder.mark(text);
        }
    }

    /// Writes down that an operation of a task failed: its scenario line, and why.
    pub(crate) fn note(&self, frame: Name, why: &str) {
        self.notes.borrow_mut().push(format!("{frame}: {why}"));
    }
}

/// What an exploration keeps of a run.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Each distinct finding: code and key.
    pub found: BTreeSet<(Rule, u64)>,
    /// How it ended, in a word.
    pub end: &'static str,
    /// Visible operations.
    pub steps: u64,
    /// The run's hash.
    pub hash: u64,
}

impl World {
    pub(crate) fn new(experiment: &Experiment, lockdep: Arc<Lockdep>, events: bool) -> World {
        let default = sched::Config::default();
        let asked = experiment.scenario().machine.max_steps.as_ref();
        let sched = sched::Config { max_steps: asked.map_or(default.max_steps, |n| n.node), ..default };
        let kernel = Kernel::new(KernelConfig { sched, lockdep: Some(lockdep) });
        let judge = Rc::new(RefCell::new(Judge::new(events)));
        kernel.set_observer(Some(judge.clone()));
        World {
            experiment: experiment.clone(),
            kernel,
            judge,
            traces_points: false,
            left: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// As [`World::new`], for runs of which only the findings are wanted: their hashes and counts mean nothing.
    pub(crate) fn for_findings(experiment: &Experiment, lockdep: Arc<Lockdep>) -> World {
        let world = World::new(experiment, lockdep, false);
        world.kernel.mute(experiment.code.only_its_end_matters());
        world.judge.borrow_mut().only_findings = true;
        world
    }

    pub(crate) fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Tells `pulse` of every event and of every statement that begins.
    pub(crate) fn watch(&mut self, pulse: &Arc<Pulse>) {
        self.judge.borrow_mut().pulse = Some(pulse.clone());
    }

    /// What was counted in the last run.
    pub(crate) fn counted<R>(&self, f: impl FnOnce(&Counts) -> R) -> R {
        f(&self.judge.borrow().counts)
    }

    /// One run, with everything that is to be said about it.
    pub(crate) fn run(&mut self, scheduler: &mut dyn Scheduler, origin: Origin) -> RunReport {
        let (end, live) = self.execute(scheduler);
        let judge = self.judge.borrow();
        let scenario = self.experiment.scenario();
        let mut findings: Vec<Found> = self.kernel.lock_reports().iter().map(Found::from_lockdep).collect();
        findings.extend(judge.oracles.findings().iter().map(Found::from_oracle));
        findings.extend(kept(&live, &end, self.kernel.steps()).iter().map(Found::from_oracle));
        findings.extend(live.checks.borrow().iter().map(FailedCheck::found));
        // In a run of an exploration, who pins a page and when is chance.
        if matches!(&origin, Origin::Recipe(recipe) if recipe.mode == Mode::Benign) {
            findings.extend(live.unmet.borrow().iter().map(Found::from_oracle));
        }
        findings.sort_by_key(|f| f.step);
        let edges = self.kernel.lock_edges();
        let facts =
            Facts { counts: &judge.counts, edges: &edges, acquisitions: &|class| self.kernel.acquisitions(class) };
        let found = findings.iter().filter_map(Found::code).collect();
        let mut verdict = judge_codes(scenario, &found);
        verdict.problems.extend(judge_assertions(scenario, &facts));
        let mut report = RunReport {
            title: scenario.title.node.clone(),
            file: scenario.source.name().to_owned(),
            token: Token { origin, scenario: self.experiment.hash(), hash: judge.hash.value() },
            end,
            steps: self.kernel.steps(),
            findings,
            notes: live.notes.take(),
            callbacks: Vec::new(),
            allocations: 0,
            reclaim_invalidations: 0,
            blocked_tasks: 0,
            edges,
            lock_counts: self.kernel.lock_stats().as_ref().map(LockCounts::of).unwrap_or_default(),
            verdict,
            log: judge.log.as_ref().map(|l| l.lines().to_vec()).unwrap_or_default(),
        };
        report.take_counts(&judge.counts);
        report
    }

    /// One run of a search: how it ended and what it chose. What it found can be asked for until the next.
    pub(crate) fn attempt(&mut self, scheduler: &mut dyn Scheduler) -> (RunEnd, Trail) {
        let mut recorder = Recorder::new(scheduler);
        let (end, live) = self.execute(&mut recorder);
        let kept = kept(&live, &end, self.kernel.steps());
        let left = kept.iter().map(|f| Essence::of_oracle(f.code, &f.title));
        let failed = live.checks.borrow();
        let failed = failed.iter().map(|check| Essence::of_oracle(Rule::Check, &check.title()));
        self.left = left.chain(failed).collect();
        self.notes = live.notes.take();
        (end, recorder.finish())
    }

    /// Whether the subscriber of this name was called in the last run, for a reason and by a hook.
    pub(crate) fn heard(&self, name: &str, what: Heard) -> bool {
        let judge = self.judge.borrow();
        match what {
            Heard::Reason(reason) => judge.oracles.stats().heard(name, reason),
            Heard::Hook(hook) => judge.oracles.stats().called(name, hook),
        }
    }

    /// The operations of the last attempt that failed, each with its place and why.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Visible operations of the last run.
    pub(crate) fn steps(&self) -> u64 {
        self.kernel.steps()
    }

    /// The hash of the last run.
    pub(crate) fn hash(&self) -> u64 {
        self.judge.borrow().hash.value()
    }

    /// What the last attempt found, as far as two scenarios can find the same.
    pub(crate) fn essences(&self) -> Vec<Essence> {
        let locks = self.kernel.lock_reports();
        let locks = locks.iter().map(|r| Essence::of_lock_report(lock_rule(r.report.kind), r.report.id.value()));
        let judge = self.judge.borrow();
        let oracles = judge.oracles.findings().iter().map(|f| Essence::of_oracle(f.code, &f.title));
        locks.chain(oracles).chain(self.left.iter().cloned()).collect()
    }

    /// Whether the runs to come write down who reaches and passes which sync points.
    pub(crate) fn trace_points(&mut self, on: bool) {
        self.traces_points = on;
    }

    /// What the last run wrote down.
    pub(crate) fn points(&self) -> Vec<AtPoint> {
        self.kernel.traced_points()
    }

    /// The choices among pages that it wrote down.
    pub(crate) fn page_picks(&self) -> Vec<PagePick> {
        self.kernel.traced_page_picks()
    }

    /// The names of the tasks of the last run, by id.
    pub(crate) fn task_names(&self) -> Vec<Name> {
        self.kernel.task_names()
    }

    /// Lets `witness` look on during the runs to come.
    pub(crate) fn let_witness(&mut self, witness: Option<Witness>) {
        self.judge.borrow_mut().witness = witness;
    }

    /// Sync points reached since this was asked last and never before in this world.
    pub(crate) fn take_new_points(&self) -> Vec<Name> {
        std::mem::take(&mut self.judge.borrow_mut().new_points)
    }

    /// What was seen by whoever looks on.
    pub(crate) fn gate(&self) -> Option<String> {
        self.judge.borrow().witness.as_ref().and_then(Witness::gate)
    }

    /// One run of many: what was found, and its chains added to the union over all runs.
    pub(crate) fn run_brief(&mut self, scheduler: &mut dyn Scheduler) -> Brief {
        self.run_noted(scheduler).0
    }

    /// The same, with the operations that failed.
    pub(crate) fn run_noted(&mut self, scheduler: &mut dyn Scheduler) -> (Brief, Vec<String>) {
        let (end, live) = self.execute(scheduler);
        self.kernel.merge_lock_chains();
        let judge = self.judge.borrow();
        let locks = self.kernel.lock_reports();
        let mut found: BTreeSet<(Rule, u64)> =
            locks.iter().map(|r| (lock_rule(r.report.kind), r.report.id.value())).collect();
        let steps = self.kernel.steps();
        let kept = kept(&live, &end, steps);
        found.extend(judge.oracles.findings().iter().chain(&kept).map(|f| (f.code, f.key)));
        found.extend(live.checks.borrow().iter().map(|check| (Rule::Check, check.key())));
        (Brief { found, end: end.word(), steps, hash: judge.hash.value() }, live.notes.take())
    }

    /// One run, as its recorders saw it.
    pub(crate) fn play(&mut self, scheduler: &mut dyn Scheduler) -> Played {
        let (end, live) = self.execute(scheduler);
        let operations = self.judge.borrow_mut().recorder.take().map_or_else(Vec::new, |r| r.operations);
        Played { operations, end: end.word(), notes: live.notes.take() }
    }

    fn execute(&mut self, scheduler: &mut dyn Scheduler) -> (RunEnd, Rc<Live>) {
        let k = &self.kernel;
        k.reset();
        k.set_memory_model(memory_model(self.experiment.scenario()));
        self.judge.borrow_mut().reset();
        let pulse = self.judge.borrow().pulse.clone();
        self.judge.borrow_mut().recorder = recorded::Recorder::of(&self.experiment.code);
        let live = k.enter(|k| Rc::new(build(k, &self.experiment, &self.judge, pulse)));
        if self.traces_points {
            k.trace_points();
        }
        k.enter(|k| {
            for pin in &live.code.pins {
                k.add_pin(*pin);
            }
            for steer in &live.code.steers {
                k.add_steer(*steer);
            }
            // The setup needs what it asks for.
            k.set_alloc_failures(is_on(self.experiment.scenario().machine.failures));
            for index in 0..live.code.tasks.len() {
                task::spawn(k, &live, index);
            }
            live.devices.borrow().iter().flatten().for_each(|device| device.driver.request_irqs(k));
            if is_on(self.experiment.scenario().machine.kswapd) {
                live.machine().start_kswapd(k);
            }
            let on_failure = is_on(self.experiment.scenario().machine.oom_killer);
            if on_failure || live.code.asks_oom_killer {
                live.machine().start_oom_reaper(k, on_failure);
            }
        });
        let end = k.run(scheduler);
        (end, live)
    }
}

pub(crate) fn is_on(switch: Option<scenario::Spanned<scenario::ast::Switch>>) -> bool {
    switch.is_some_and(|switch| switch.node == scenario::ast::Switch::On)
}

impl FailedCheck {
    /// The same for the same check, whoever runs it and when.
    fn key(&self) -> u64 {
        let hash = blake3::hash(format!("{} {}", self.frame, self.text).as_bytes());
        let (first, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*first)
    }

    fn title(&self) -> String {
        format!("`{} {}` does not hold", self.statement, self.text)
    }

    fn found(&self) -> Found {
        let title = self.title();
        Found {
            code: Rule::Check.text().to_owned(),
            text: format!("BUG: {}: {title}\n{IDENT}\n  at {}", Rule::Check, self.frame),
            title,
            step: self.step,
            task: Some(self.task.0),
            key: self.key(),
            replay: String::new(),
            proof: None,
            ring: None,
        }
    }
}

/// Builds the machine, the address spaces with their pages, and the devices.
fn build(k: &Kernel, experiment: &Experiment, judge: &Rc<RefCell<Judge>>, pulse: Option<Arc<Pulse>>) -> Live {
    let code = experiment.code.clone();
    k.set_frame(Some(code.setup));
    if !code.needs_machine {
        return Live::empty(k, experiment, judge, pulse);
    }
    let framework = Framework::of_version(
        k,
        annotations(experiment),
        quirks(experiment, mmu_notifier::Quirks::from_word),
        framework_behaviour(experiment),
    );
    let machine = Machine::new(k, machine_config(experiment), framework);
    if let Some(recorder) = &mut judge.borrow_mut().recorder {
        recorder.set_machine(&machine);
    }
    let there = |spec: &MmSpec| (!spec.forked).then(|| build_mm(k, &machine, spec));
    let mms: Vec<Option<Arc<Mm>>> = code.mms.iter().map(there).collect();
    let devices: Vec<Option<Rc<Attached>>> = code
        .devices
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let mm = mms[spec.mm].as_ref()?;
            Some(Rc::new(build_device(k, &experiment.registry, index, mm, spec)))
        })
        .collect();
    let live = Live {
        machine: Some(machine),
        mms: RefCell::new(mms),
        devices: RefCell::new(devices),
        ..Live::empty(k, experiment, judge, pulse)
    };
    let devices = live.devices.borrow();
    for (device, spec) in devices.iter().zip(&code.devices) {
        if let Some(device) = device.as_ref().filter(|_| !spec.registered_by_task)
            && let Err(errno) = device.driver.attach()
        {
            live.note(spec.name, &format!("could not register: {errno}"));
        }
    }
    drop(devices);
    live
}

fn machine_config(experiment: &Experiment) -> MachineConfig {
    let asked = &experiment.scenario().machine;
    let default = MachineConfig::default();
    MachineConfig {
        memory_bytes: asked.memory_bytes.as_ref().map_or(default.memory_bytes, |m| m.node),
        swap_bytes: asked.swap_bytes.as_ref().map_or(default.swap_bytes, |s| s.node),
        cpus: asked.cpus.as_ref().map_or(default.cpus, |c| c.node),
        quirks: quirks(experiment, mm::Quirks::from_word),
        behaviour: mm_behaviour(experiment),
        ..default
    }
}

fn is_6_1(experiment: &Experiment) -> bool {
    experiment.scenario().kernel.as_ref().is_some_and(|kernel| kernel.node == scenario::ast::KernelPreset::V6_1)
}

fn mm_behaviour(experiment: &Experiment) -> mm::Behaviour {
    let preset = if is_6_1(experiment) { mm::Behaviour::V6_1 } else { mm::Behaviour::V6_12 };
    let asked = experiment.scenario().behaviours.iter().filter_map(|name| mm::Behaviour::from_word(&name.node));
    asked.fold(preset, |all, one| all | one)
}

fn framework_behaviour(experiment: &Experiment) -> mmu_notifier::Behaviour {
    use mmu_notifier::Behaviour;
    let preset = if is_6_1(experiment) { Behaviour::V6_1 } else { Behaviour::empty() };
    let asked = experiment.scenario().behaviours.iter().filter_map(|name| Behaviour::from_word(&name.node));
    asked.fold(preset, |all, one| all | one)
}

/// Those of the scenario's quirks that `from_word` knows: one list names those of two crates.
fn quirks<Q: FromIterator<Q>>(experiment: &Experiment, from_word: impl Fn(&str) -> Option<Q>) -> Q {
    experiment.scenario().quirks.iter().filter_map(|quirk| from_word(&quirk.node)).collect()
}

fn annotations(experiment: &Experiment) -> Annotations {
    use mmu_notifier::{EndMap, MapScope, OtherMaps, Prime, Touch, Wrap};
    use scenario::ast;
    let asked = &experiment.scenario().annotations;
    let mut a = Annotations::default();
    if let Some(v) = &asked.range_start {
        a.range_start = match v.node {
            ast::RangeStartMap::None => MapScope::None,
            ast::RangeStartMap::Global => MapScope::Global,
            ast::RangeStartMap::PerMm => MapScope::PerMm,
            ast::RangeStartMap::PerMmClass => MapScope::PerMmClass,
        };
    }
    if let Some(v) = &asked.range_end {
        a.range_end = match v.node {
            ast::RangeEndMap::None => EndMap::None,
            ast::RangeEndMap::Shared => EndMap::Shared,
            ast::RangeEndMap::Own => EndMap::Own,
        };
    }
    let wrap = |w: ast::Wrap| match w {
        ast::Wrap::Always => Wrap::Always,
        ast::Wrap::Subscribed => Wrap::Subscribed,
    };
    a.wrap_start = asked.wrap_start.as_ref().map_or(a.wrap_start, |v| wrap(v.node));
    a.wrap_end = asked.wrap_end.as_ref().map_or(a.wrap_end, |v| wrap(v.node));
    if let Some(set) = &asked.prime {
        a.prime = set.node.iter().fold(Prime::empty(), |all, p| {
            all | match p {
                ast::Prime::Registration => Prime::REGISTRATION,
                ast::Prime::TakeAllLocks => Prime::TAKE_ALL_LOCKS,
                ast::Prime::FsReclaim => Prime::FS_RECLAIM,
            }
        });
    }
    if let Some(set) = &asked.touch {
        a.touch = set.node.iter().fold(Touch::empty(), |all, t| {
            all | match t {
                ast::TouchPoint::ReadBegin => Touch::READ_BEGIN,
                ast::TouchPoint::Remove => Touch::REMOVE,
            }
        });
    }
    if let Some(v) = &asked.other_callbacks {
        a.other_callbacks = match v.node {
            ast::OtherMaps::None => OtherMaps::None,
            ast::OtherMaps::Shared => OtherMaps::Shared,
            ast::OtherMaps::Own => OtherMaps::Own,
        };
    }
    if let Some(v) = &asked.srcu {
        a.srcu_checked = v.node == ast::SrcuChecking::Checked;
    }
    a
}

fn build_mm(k: &Kernel, machine: &Arc<Machine>, spec: &MmSpec) -> Arc<Mm> {
    let mm = machine.new_mm(k, spec.name);
    let placement = Placement::default();
    if spec.vmas.iter().any(|map| map.pages.start() < placement.min_vpn()) {
        // A scenario that maps there is one of a process that may.
        mm.set_placement(Placement { may_map_low: true, ..placement });
    }
    if let Some(brk) = spec.brk {
        mm.set_start_brk(brk);
    }
    for map in &spec.vmas {
        let placed = mm.mmap(&map.args(machine));
        assert!(placed.is_ok(), "the parser checked that mappings do not overlap: {placed:?}");
    }
    for pages in &spec.touches {
        touch(&mm, *pages).unwrap_or_else(|(vpn, why)| panic!("touch {}: {why}", vpn.addr()));
    }
    mm
}

/// One access to each page: a store where the mapping allows it, else a load.
///
/// # Errors
/// The first page that could not be reached, and why; the pages before it were touched.
pub(crate) fn touch(mm: &Arc<Mm>, pages: PageRange) -> Result<(), (mm_types::Vpn, String)> {
    for vpn in pages.iter() {
        let writable = mm.find_vma(vpn).is_some_and(|vma| vma.flags().contains(VmFlags::WRITE));
        let done = if writable { mm.write_page(vpn, vpn.addr().0) } else { mm.read_page(vpn).map(drop) };
        done.map_err(|fault| (vpn, fault.to_string()))?;
    }
    Ok(())
}

impl crate::compile::Map {
    fn open(&self, machine: &Machine, name: Name) -> mm::vma::FileId {
        match self.object {
            Object::Plain => machine.open_file(name.as_str(), ""),
            Object::Shmem => machine.open_shmem(name.as_str()),
            Object::Hugetlb => machine.open_hugetlb(name.as_str()),
            Object::Dax => machine.open_dax(name.as_str()),
        }
    }

    /// The mapping as a call's arguments. Equal file names are one file.
    pub(crate) fn args(&self, machine: &Machine) -> MmapArgs {
        let sharing = if self.shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
        let (backing, offset, anonymous) = match self.file {
            Some((name, offset)) => {
                let file = self.open(machine, name);
                (MmapBacking::File { file, readable: true, writable: true }, offset, MapFlags::empty())
            }
            None if self.object == Object::Hugetlb => {
                let file = machine.hugetlb_file(self.pages.nr_pages() * PAGE_SIZE);
                (MmapBacking::File { file, readable: true, writable: true }, Pgoff(0), MapFlags::empty())
            }
            None => (MmapBacking::None, Pgoff(0), MapFlags::ANONYMOUS),
        };
        MmapArgs {
            addr: self.pages.start().addr(),
            len_bytes: self.pages.nr_pages() * PAGE_SIZE,
            prot: self.prot,
            flags: sharing | anonymous | MapFlags::FIXED,
            backing,
            offset_bytes: offset.0 * PAGE_SIZE,
        }
    }
}
