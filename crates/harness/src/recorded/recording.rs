//! A line of a recording: one scenario, run twice.

use super::callback::Callback;
use super::recorder::Operation;
use serde_json::Value;
use std::fmt;

/// How alike the rounds of a recording were (`det`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Determinism {
    /// The same callbacks, but for pending flushes that a process inherited.
    Identical,
    /// The same callbacks in another order.
    Reordered,
    /// Of the same kinds, with other pages, counts and order; or not even that.
    Shape,
}

/// One scenario as a running kernel did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Its name; the scenario here is `NAME.mms`.
    pub name: String,
    /// How much of it is chance.
    pub determinism: Determinism,
    /// Its rounds: one if the second was the same.
    pub rounds: Vec<Vec<Operation>>,
}

/// A line that is no recording: why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingError(String);

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecordingError {}

fn error(why: impl Into<String>) -> RecordingError {
    RecordingError(why.into())
}

impl Recording {
    /// Reads one line.
    ///
    /// # Errors
    /// What is missing in it, or is no JSON.
    pub fn parse(line: &str) -> Result<Recording, RecordingError> {
        let value: Value = serde_json::from_str(line).map_err(|e| error(e.to_string()))?;
        let name = text(&value, "name")?.to_owned();
        let determinism = match text(&value, "det")? {
            "identical" | "identical_but_batched_flush" => Determinism::Identical,
            "reordered" => Determinism::Reordered,
            "same_shape" | "differs" => Determinism::Shape,
            other => return Err(error(format!("{name}: unknown determinism {other:?}"))),
        };
        let mut rounds = vec![operations(&value, "ops").map_err(|why| error(format!("{name}: {why}")))?];
        if value.get("ops_round2").is_some() {
            rounds.push(operations(&value, "ops_round2").map_err(|why| error(format!("{name}: {why}")))?);
        }
        Ok(Recording { name, determinism, rounds })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, RecordingError> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| error(format!("no text `{key}`")))
}

fn operations(value: &Value, key: &str) -> Result<Vec<Operation>, RecordingError> {
    let ops = value.get(key).and_then(Value::as_array).ok_or_else(|| error(format!("no list `{key}`")))?;
    ops.iter().map(operation).collect()
}

fn operation(value: &Value) -> Result<Operation, RecordingError> {
    let name = text(value, "op")?.to_owned();
    let all = value.get("callbacks").and_then(Value::as_array).ok_or_else(|| error("no list `callbacks`"))?;
    let mut callbacks = Vec::new();
    for one in all {
        if text(one, "h")? != "note" && !is_inherited_flush(one) {
            callbacks.push(callback(one)?);
        }
    }
    Ok(Operation { name, callbacks, truncated: value.get("truncated").is_some() })
}

/// A pending flush that the process inherited from its parent (FORMAT, "Determinism"): nothing the scenario did.
fn is_inherited_flush(value: &Value) -> bool {
    let stack = value.get("st").and_then(Value::as_array);
    stack.is_some_and(|frames| frames.iter().any(|f| f.as_str() == Some("flush_tlb_batched_pending")))
}

fn callback(value: &Value) -> Result<Callback, RecordingError> {
    let hook = text(value, "h")?.to_owned();
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let subscriber = if hook == "interval" { number("iv") } else { number("n") };
    let locks = value.get("lk").and_then(Value::as_array);
    Ok(Callback {
        subscriber: subscriber.ok_or_else(|| error(format!("a {hook} without subscriber")))?,
        range: range(value)?,
        event: value.get("ev").and_then(Value::as_str).unwrap_or("").to_owned(),
        blockable: number("b") != Some(0),
        owner: number("o") == Some(1),
        cur_seq: number("cq"),
        returned: value.get("ret").and_then(Value::as_i64),
        mmap_lock: value.get("mm").and_then(Value::as_str).unwrap_or("none").to_owned(),
        locks: locks.into_iter().flatten().filter_map(Value::as_str).map(without_number).collect(),
        pages: value.get("p").and_then(Value::as_str).unwrap_or("").to_owned(),
        task: value.get("t").and_then(Value::as_str).unwrap_or("").to_owned(),
        hook,
    })
}

fn range(value: &Value) -> Result<Option<(String, String)>, RecordingError> {
    let Some(range) = value.get("r").filter(|r| !r.is_null()) else { return Ok(None) };
    let end = |at: usize| match range.get(at) {
        Some(Value::String(word)) => Ok(word.clone()),
        Some(Value::Number(page)) => Ok(page.to_string()),
        _ => Err(error("a range is two pages")),
    };
    Ok(Some((end(0)?, end(1)?)))
}

/// `sb_writers#5:R` without the number that classes of one name get in the order of boot.
pub(super) fn without_number(lock: &str) -> String {
    let Some((class, rest)) = lock.split_once('#') else { return lock.to_owned() };
    format!("{class}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_classes_are_left_out_and_modes_are_not() {
        assert_eq!(without_number("sb_writers#5:R"), "sb_writers:R");
        assert_eq!(without_number("kn->active#12:Rt"), "kn->active:Rt");
        assert_eq!(without_number("mmap_lock:W"), "mmap_lock:W");
    }

    #[test]
    fn a_line_that_is_no_recording_says_why() {
        let why = |line| Recording::parse(line).expect_err("no recording").to_string();
        assert!(why("{").contains("EOF"), "{}", why("{"));
        assert_eq!(why("{}"), "no text `name`");
        assert_eq!(why(r#"{"name":"a","det":"odd"}"#), "a: unknown determinism \"odd\"");
        assert_eq!(why(r#"{"name":"a","det":"identical"}"#), "a: no list `ops`");
    }
}
