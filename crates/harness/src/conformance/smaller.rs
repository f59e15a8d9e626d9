//! What a case shows that is no finding of an oracle, to be shown by less: an error, or idleness.
//!
//! Less than a case may be a scenario in which the driver is right to return the error, or to do nothing: what it is asked for is not
//! mapped any more. So the smaller scenario is also run with the driver of reference in its place, `interval_mirror`. Where that
//! fails as often, or does nothing either, it proves nothing.

use super::dialect::Dialect;
use super::suite::{failed, silent};
use crate::experiment::Experiment;
use crate::registry::Registry;
use crate::schedulers::RecipeScheduler;
use crate::shrink::Wanted;
use crate::token::{Mode, Recipe};
use crate::world::{World, is_on};
use lockdep::Lockdep;
use scenario::Scenario;
use scenario::ast::{DeviceBody, NamedDriver};
use std::cell::Cell;

const REFERENCE: &str = "interval_mirror";
/// Random runs of the driver of reference, beside the benign one.
const REFERENCE_RUNS: u64 = 8;

/// The driver of reference in the place of another.
pub(super) struct Reference<'a> {
    pub(super) registry: &'a Registry,
    pub(super) dialect: &'a Dialect,
}

impl Reference<'_> {
    /// The scenario with it; none if it is none for it.
    fn world(&self, scenario: &Scenario) -> Option<World> {
        let mut scenario = scenario.clone();
        for device in &mut scenario.devices {
            device.node.driver.node = REFERENCE.to_owned();
            device.node.body = DeviceBody::Named(NamedDriver::default());
        }
        let text = scenario.to_string();
        let lines = text.lines().map(|line| self.dialect.by_role(line).unwrap_or_else(|| line.to_owned()));
        let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
        let experiment = Experiment::load(self.registry, "reference.mms", &text).ok()?;
        Some(World::new(&experiment, Lockdep::new(), false))
    }
}

/// An operation that returned an error where none is allowed.
pub(super) struct Refusal<'a> {
    reference: Reference<'a>,
    /// The operation and the error, as the driver's note has them.
    what: String,
    /// The operation, as the driver of reference has it.
    of_reference: String,
    /// How often that fails for the driver of reference in the scenario asked about last: that often it may.
    may: Cell<usize>,
}

impl<'a> Refusal<'a> {
    pub(super) fn of(reference: Reference<'a>, note: &str) -> Option<Refusal<'a>> {
        let what = said(note)?.to_owned();
        let (call, _) = failed(note)?;
        let call = call.rsplit_once(": ").map_or(call, |(_, call)| call);
        let role = reference.dialect.by_role(call).unwrap_or_else(|| call.to_owned());
        let of_reference = what.replacen(call, &role, 1);
        let of_reference = of_reference.rsplit_once(' ').map_or(of_reference.as_str(), |(op, _errno)| op).to_owned();
        Some(Refusal { reference, what, of_reference, may: Cell::new(0) })
    }
}

/// A note without its place.
fn said(note: &str) -> Option<&str> {
    let (what, _) = failed(note)?;
    let start = what.rfind(": ").map_or(0, |at| at + 2);
    Some(&note[start..])
}

impl Refusal<'_> {
    /// How often operations failed in the last run, as far as `which` says.
    fn failures(world: &World, which: impl Fn(&str) -> bool) -> usize {
        world.notes().iter().filter_map(|note| said(note)).filter(|said| which(said)).count()
    }
}

impl Wanted for Refusal<'_> {
    fn is_meant(&self, scenario: &Scenario) -> bool {
        let Some(mut world) = self.reference.world(scenario) else { return false };
        let recipe = |mode, run| Recipe { mode, seed: 1, run };
        // Where memory is short at random, it fails at random.
        let random = if is_on(scenario.machine.failures) { 0 } else { REFERENCE_RUNS };
        let runs = std::iter::once(recipe(Mode::Benign, 0)).chain((0..random).map(|run| recipe(Mode::Random, run)));
        let failures = runs.map(|recipe| {
            world.attempt(&mut RecipeScheduler::new(recipe));
            Refusal::failures(&world, |said| said.starts_with(&self.of_reference))
        });
        self.may.set(failures.max().unwrap_or(0));
        true
    }

    fn is_shown(&self, world: &World) -> bool {
        let op = self.what.rsplit_once(' ').map_or(self.what.as_str(), |(op, _errno)| op);
        let shown = Refusal::failures(world, |said| said == self.what) > 0;
        shown && Refusal::failures(world, |said| said.starts_with(op)) > self.may.get()
    }
}

/// A driver that did nothing.
pub(super) struct Idleness<'a> {
    pub(super) reference: Reference<'a>,
}

impl Wanted for Idleness<'_> {
    fn is_meant(&self, scenario: &Scenario) -> bool {
        let Some(mut world) = self.reference.world(scenario) else { return false };
        world.attempt(&mut RecipeScheduler::new(Recipe { mode: Mode::Benign, seed: 1, run: 0 }));
        !world.counted(silent)
    }

    fn is_shown(&self, world: &World) -> bool {
        world.counted(silent)
    }
}
