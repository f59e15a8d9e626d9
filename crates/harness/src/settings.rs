//! One setting of a scenario changed from outside: `--set range_start=none`.

use scenario::ast::DeviceBody;
use scenario::{Scenario, Vocabulary, parse_with};

/// Applies `KEY=VALUE`.
///
/// # Errors
/// What is wrong with it, in one line; the scenario is unchanged then.
pub(crate) fn apply(known: &Vocabulary, scenario: &mut Scenario, setting: &str) -> Result<(), String> {
    let Some((key, value)) = setting.split_once('=') else {
        return Err("expected SETTING=VALUE, such as range_start=none".to_owned());
    };
    match key.split_once('.') {
        Some((device, "mutant")) => set_mutant(known, scenario, device, value),
        Some(_) => Err(format!("`{key}`: of a device only DEVICE.mutant can be set")),
        None if ["cpus", "memory", "swap", "seed", "max_steps", "memory_model"].contains(&key) => {
            set_machine(known, scenario, key, value)
        }
        None if key == "quirks" => set_quirks(known, scenario, value),
        None if key == "behaviours" => set_behaviours(known, scenario, value),
        None if key == "kernel" => {
            scenario.kernel = fragment(known, &format!("kernel {value}"))?.kernel;
            Ok(())
        }
        None => set_annotation(known, scenario, key, value),
    }
}

fn set_mutant(known: &Vocabulary, scenario: &mut Scenario, device: &str, value: &str) -> Result<(), String> {
    let Some(found) = scenario.devices.iter_mut().find(|d| d.name.node == device) else {
        return Err(format!("there is no device `{device}`"));
    };
    let mutants = known.drivers.get(&found.driver.node).map(|d| &d.mutants);
    let DeviceBody::Named(body) = &mut found.node.body else {
        return Err(format!("`{device}` is written inline: it has no mutants"));
    };
    if value == "none" {
        body.mutant = None;
        return Ok(());
    }
    match mutants {
        Some(mutants) if mutants.contains(value) => {
            body.mutant = Some(value.to_owned().into());
            Ok(())
        }
        Some(mutants) => {
            let names: Vec<&str> = mutants.iter().map(String::as_str).collect();
            Err(format!("`{}` has no mutant `{value}`; it has none, {}", found.node.driver.node, names.join(", ")))
        }
        None => Err(format!("`{}` has no mutants", found.node.driver.node)),
    }
}

fn set_machine(known: &Vocabulary, scenario: &mut Scenario, key: &str, value: &str) -> Result<(), String> {
    let parsed = fragment(known, &format!("machine {{ {key} {value} }}"))?;
    let (to, from) = (&mut scenario.machine, parsed.machine);
    to.cpus = from.cpus.or(to.cpus.take());
    to.memory_bytes = from.memory_bytes.or(to.memory_bytes.take());
    to.swap_bytes = from.swap_bytes.or(to.swap_bytes.take());
    to.seed = from.seed.or(to.seed.take());
    to.max_steps = from.max_steps.or(to.max_steps.take());
    to.memory_model = from.memory_model.or(to.memory_model.take());
    Ok(())
}

fn set_quirks(known: &Vocabulary, scenario: &mut Scenario, value: &str) -> Result<(), String> {
    let value = if value == "none" { "" } else { value };
    scenario.quirks = fragment(known, &format!("quirks {{ {value} }}"))?.quirks;
    Ok(())
}

fn set_behaviours(known: &Vocabulary, scenario: &mut Scenario, value: &str) -> Result<(), String> {
    let value = if value == "none" { "" } else { value };
    scenario.behaviours = fragment(known, &format!("behaviours {{ {value} }}"))?.behaviours;
    Ok(())
}

fn set_annotation(known: &Vocabulary, scenario: &mut Scenario, key: &str, value: &str) -> Result<(), String> {
    let is_set = ["prime", "touch"].contains(&key) && value != "none";
    let value = if is_set { format!("{{ {value} }}") } else { value.to_owned() };
    annotate(known, scenario, &format!("annotations {{ {key} {value} }}"))
}

/// Takes over what an `annotations` section sets.
///
/// # Errors
/// What is wrong with it, in one line; the scenario is unchanged then.
pub(crate) fn annotate(known: &Vocabulary, scenario: &mut Scenario, section: &str) -> Result<(), String> {
    let parsed = fragment(known, section)?;
    let (to, from) = (&mut scenario.annotations, parsed.annotations);
    to.range_start = from.range_start.or(to.range_start.take());
    to.range_end = from.range_end.or(to.range_end.take());
    to.wrap_start = from.wrap_start.or(to.wrap_start.take());
    to.wrap_end = from.wrap_end.or(to.wrap_end.take());
    to.prime = from.prime.or(to.prime.take());
    to.touch = from.touch.or(to.touch.take());
    to.other_callbacks = from.other_callbacks.or(to.other_callbacks.take());
    to.srcu = from.srcu.or(to.srcu.take());
    Ok(())
}

/// Parses a section on its own, so that a setting means here what it means in a file.
fn fragment(known: &Vocabulary, section: &str) -> Result<Scenario, String> {
    parse_with(known, "--set", &format!("scenario \"setting\"\n{section}\n")).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|m| match &m.help {
                Some(help) => format!("{} ({help})", m.message),
                None => m.message.clone(),
            })
            .collect::<Vec<_>>()
            .join("; ")
    })
}
