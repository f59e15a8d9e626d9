//! Reading traces: JSON, a line each; see tests/data/mm/FORMAT.md.

use super::call::{Fork, Made};
use super::snapshot::Run;
use super::{Act, Call, Fd, Outcome, Place, Recorded, Step, Trace, VmaLine};
use mm::vma::{MapFlags, MremapFlags, ProtFlags};
use mm::{Advice, MlockFlags, MsyncFlags};
use mm_types::{Errno, PAGE_SIZE, Prot};
use serde_json::Value;
use std::fmt;

/// A line that is none of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineError {
    /// Which, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for LineError {}

type Parsed<T> = Result<T, String>;

/// Pages of the largest arena: 1 GiB.
const MAX_ARENA_PAGES: u64 = 1 << 18;

/// The traces of a file.
///
/// # Errors
/// The first line that cannot be understood. A file without a trace has none on its line 1.
pub fn parse(text: &str) -> Result<Vec<Trace>, LineError> {
    let mut traces = Vec::<Trace>::new();
    for (line, text) in (1..).zip(text.lines()) {
        let at = |message| LineError { line, message };
        if text.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(text).map_err(|e| at(format!("not JSON: {e}")))?;
        if value.get("arena_pages").is_some() {
            traces.push(header(&value, line).map_err(at)?);
            continue;
        }
        let trace = traces.last_mut().ok_or_else(|| at("an operation before the first trace's header".to_owned()))?;
        let mut step = step(&value, line).map_err(at)?;
        text.clone_into(&mut step.text);
        if step.index != trace.steps.len() as u64 {
            let message = format!("operation {} where {} is due", step.index, trace.steps.len());
            return Err(at(message));
        }
        trace.steps.push(step);
    }
    if traces.is_empty() {
        return Err(LineError { line: 1, message: "no trace in it: its header has \"arena_pages\"".to_owned() });
    }
    Ok(traces)
}

fn header(value: &Value, line: usize) -> Parsed<Trace> {
    let arena_pages = number(value, "arena_pages")?;
    if arena_pages == 0 || arena_pages > MAX_ARENA_PAGES {
        return Err(format!("an arena of {arena_pages} pages; there may be 1 to {MAX_ARENA_PAGES}"));
    }
    Ok(Trace {
        name: value.get("trace").and_then(Value::as_str).unwrap_or_default().to_owned(),
        line,
        arena_pages,
        outside_vmas: number(value, "outside_vmas")?,
        memlock_pages: number(value, "memlock_pages")?,
        steps: Vec::new(),
    })
}

fn step(value: &Value, line: usize) -> Parsed<Step> {
    let act = match word(value, "op")? {
        "fork" => Act::Fork(Box::new(fork(value)?)),
        "bulk_mmap" => Act::BulkMmap {
            first: page(value, "first")?,
            limit: page(value, "limit")?,
            step: number(value, "step")?.max(1),
            made: number(value, "r")?,
            stop: value.get("stop_errno").and_then(Value::as_str).and_then(Errno::from_name),
        },
        _ => Act::Call(made(value)?),
    };
    Ok(Step {
        line,
        index: number(value, "i")?,
        text: String::new(),
        act,
        after: recorded(value)?,
        map_count: value.get("map_count_in").and_then(Value::as_u64),
    })
}

fn fork(value: &Value) -> Parsed<Fork> {
    let acts = |key: &str| -> Parsed<Vec<Made>> {
        field(value, key)?.as_array().ok_or(format!("{key:?} is no list"))?.iter().map(made).collect()
    };
    Ok(Fork {
        faults: number(value, "nf")?,
        child_first: recorded(field(value, "c0")?)?,
        child_acts: acts("cacts")?,
        child_acted: recorded(field(value, "c1")?)?,
        parent_acts: acts("pacts")?,
        parent: recorded(field(value, "p1")?)?,
        child_last: recorded(field(value, "c2")?)?,
    })
}

fn made(value: &Value) -> Parsed<Made> {
    let call = call(value)?;
    let outcome = outcome(value, &call)?;
    Ok(Made { call, outcome, faults: number(value, "nf")? })
}

fn outcome(value: &Value, call: &Call) -> Parsed<Outcome> {
    if let Some(name) = value.get("e").and_then(Value::as_str) {
        return Ok(Outcome::Error(Errno::from_name(name).ok_or(format!("unknown error number {name:?}"))?));
    }
    if let Some(name) = value.get("sig").and_then(Value::as_str) {
        let known = ["SEGV_MAPERR", "SEGV_ACCERR", "BUS_ADRERR"].into_iter().find(|known| *known == name);
        return Ok(Outcome::Signal(known.ok_or(format!("unknown signal {name:?}"))?));
    }
    match call {
        Call::Mmap { .. } | Call::Mremap { .. } => Ok(Outcome::At(place(value, "r")?)),
        Call::Mincore { .. } => Ok(Outcome::Bits(word(value, "vec")?.to_owned())),
        _ => Ok(Outcome::Number(number(value, "r")?)),
    }
}

fn call(value: &Value) -> Parsed<Call> {
    let addr = || place(value, "addr");
    let len = || bytes(value, "len");
    Ok(match word(value, "op")? {
        "mmap" => Call::Mmap {
            addr: addr()?,
            len: len()?,
            prot: prot(word(value, "prot")?)?.prot(),
            flags: map_type(word(value, "type")?)? | flags(word(value, "flags")?, map_flag)?,
            fd: fd(word(value, "fd")?)?,
            off: bytes(value, "off")?,
        },
        "munmap" => Call::Munmap { addr: addr()?, len: len()? },
        "mprotect" => Call::Mprotect { addr: addr()?, len: len()?, prot: prot(word(value, "prot")?)? },
        "mremap" => Call::Mremap {
            addr: addr()?,
            old_len: bytes(value, "old_len")?,
            new_len: bytes(value, "new_len")?,
            flags: flags(word(value, "flags")?, mremap_flag)?,
            new_addr: place(value, "new_addr")?,
        },
        "madvise" => Call::Madvise { addr: addr()?, len: len()?, advice: advice(field(value, "advice")?)? },
        "mlock" => Call::Mlock { addr: addr()?, len: len()? },
        "munlock" => Call::Munlock { addr: addr()?, len: len()? },
        "mlock2" => Call::Mlock2 { addr: addr()?, len: len()?, flags: flags(word(value, "flags")?, mlock_flag)? },
        "msync" => Call::Msync { addr: addr()?, len: len()?, flags: flags(word(value, "flags")?, msync_flag)? },
        "mincore" => Call::Mincore { addr: addr()?, len: len()? },
        "mseal" => {
            let flags = word(value, "flags")?;
            Call::Mseal { addr: addr()?, len: len()?, flags: hex(flags).ok_or(format!("no flags: {flags:?}"))? }
        }
        "ftruncate" => Call::Ftruncate { fd: fd(word(value, "fd")?)?, size: bytes(value, "size")? },
        "punch_hole" => Call::PunchHole { fd: fd(word(value, "fd")?)?, off: bytes(value, "off")?, len: len()? },
        "fwrite" => Call::Fwrite { fd: fd(word(value, "fd")?)?, page: page(value, "off")?, tag: number(value, "tag")? },
        "read" => Call::Read { page: page(value, "page")? },
        "write" => Call::Write { page: page(value, "page")?, tag: number(value, "tag")? },
        other => return Err(format!("unknown operation {other:?}")),
    })
}

fn field<'v>(value: &'v Value, key: &str) -> Parsed<&'v Value> {
    value.get(key).ok_or_else(|| format!("{key:?} is missing"))
}

fn number(value: &Value, key: &str) -> Parsed<u64> {
    field(value, key)?.as_u64().ok_or_else(|| format!("{key:?} is no number"))
}

/// A page that an access names: one of an arena, whichever size that has, or of a file.
fn page(value: &Value, key: &str) -> Parsed<u64> {
    let page = number(value, key)?;
    if page <= MAX_ARENA_PAGES { Ok(page) } else { Err(format!("{key:?} is beyond any arena")) }
}

fn word<'v>(value: &'v Value, key: &str) -> Parsed<&'v str> {
    field(value, key)?.as_str().ok_or_else(|| format!("{key:?} is no word"))
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Pages, `[pages, bytes]`, or bytes as a string.
fn bytes(value: &Value, key: &str) -> Parsed<u64> {
    let bad = || format!("{key:?} is no length");
    let of_pages = |pages: u64, bytes: u64| pages.checked_mul(PAGE_SIZE)?.checked_add(bytes);
    match field(value, key)? {
        Value::String(text) => hex(text),
        Value::Array(parts) => match parts.as_slice() {
            [pages, bytes] => pages.as_u64().zip(bytes.as_u64()).and_then(|(pages, bytes)| of_pages(pages, bytes)),
            _ => None,
        },
        pages => pages.as_u64().and_then(|pages| of_pages(pages, 0)),
    }
    .ok_or_else(bad)
}

/// A page of the arena, `[page, bytes]`, or an address as a string.
fn place(value: &Value, key: &str) -> Parsed<Place> {
    let bytes = bytes(value, key)?;
    if field(value, key)?.is_string() {
        return Ok(Place::Absolute(bytes));
    }
    // An arena is somewhere in user space.
    if bytes < 1 << 46 { Ok(Place::Arena(bytes)) } else { Err(format!("{key:?} is beyond any arena")) }
}

fn flags<F: bitflags::Flags<Bits = u32>>(words: &str, named: impl Fn(&str) -> Option<F>) -> Parsed<F> {
    let mut all = F::empty();
    for word in words.split('|') {
        let raw = || hex(word).and_then(|bits| u32::try_from(bits).ok()).map(F::from_bits_retain);
        all.insert(named(word).or_else(raw).ok_or_else(|| format!("unknown flag {word:?}"))?);
    }
    Ok(all)
}

fn map_type(word: &str) -> Parsed<MapFlags> {
    Ok(match word {
        "PRIVATE" => MapFlags::PRIVATE,
        "SHARED" => MapFlags::SHARED,
        "SHARED_VALIDATE" => MapFlags::SHARED_VALIDATE,
        "DROPPABLE" => MapFlags::DROPPABLE,
        "NONE" => MapFlags::empty(),
        other => return Err(format!("unknown type of mapping {other:?}")),
    })
}

fn map_flag(word: &str) -> Option<MapFlags> {
    Some(match word {
        "FIXED" => MapFlags::FIXED,
        "ANON" => MapFlags::ANONYMOUS,
        "NOREPLACE" => MapFlags::FIXED_NOREPLACE,
        "GROWSDOWN" => MapFlags::GROWSDOWN,
        "LOCKED" => MapFlags::LOCKED,
        "NORESERVE" => MapFlags::NORESERVE,
        "POPULATE" => MapFlags::POPULATE,
        "NONBLOCK" => MapFlags::NONBLOCK,
        "STACK" => MapFlags::STACK,
        "SYNC" => MapFlags::SYNC,
        _ => return None,
    })
}

fn mremap_flag(word: &str) -> Option<MremapFlags> {
    Some(match word {
        "MAYMOVE" => MremapFlags::MAYMOVE,
        "FIXED" => MremapFlags::FIXED,
        "DONTUNMAP" => MremapFlags::DONTUNMAP,
        _ => return None,
    })
}

fn mlock_flag(word: &str) -> Option<MlockFlags> {
    (word == "ONFAULT").then_some(MlockFlags::ONFAULT)
}

fn msync_flag(word: &str) -> Option<MsyncFlags> {
    Some(match word {
        "ASYNC" => MsyncFlags::ASYNC,
        "INVALIDATE" => MsyncFlags::INVALIDATE,
        "SYNC" => MsyncFlags::SYNC,
        _ => return None,
    })
}

/// A name without its `MADV_`; a number is none that means anything.
fn advice(value: &Value) -> Parsed<Advice> {
    match value {
        Value::String(word) if word.bytes().all(|b| b.is_ascii_digit()) => Ok(Advice::Unknown),
        Value::String(word) => Advice::from_word(&format!("MADV_{word}")).ok_or(format!("unknown advice {word:?}")),
        Value::Number(_) => Ok(Advice::Unknown),
        _ => Err("\"advice\" is no word".to_owned()),
    }
}

/// `rwx` with `-` for what is missing, and further bits.
fn prot(words: &str) -> Parsed<ProtFlags> {
    let bad = || format!("no protection: {words:?}");
    let mut parts = words.split('|');
    let access = parts.next().filter(|access| access.len() == 3).ok_or_else(bad)?;
    let mut prot = Prot::empty();
    for (c, (letter, bit)) in access.chars().zip([('r', Prot::READ), ('w', Prot::WRITE), ('x', Prot::EXEC)]) {
        if c != letter && c != '-' {
            return Err(bad());
        }
        prot.set(bit, c == letter);
    }
    let mut all = ProtFlags::from(prot);
    for word in parts {
        all |= match word {
            "GROWSDOWN" => ProtFlags::GROWSDOWN,
            "GROWSUP" => ProtFlags::GROWSUP,
            raw => {
                let bits = hex(raw).and_then(|bits| u32::try_from(bits).ok()).ok_or_else(bad)?;
                ProtFlags::from_bits_retain(bits)
            }
        };
    }
    Ok(all)
}

fn fd(word: &str) -> Parsed<Fd> {
    Ok(match word {
        "-" | "bad" => Fd::None,
        "f0" => Fd::F0,
        "f1" => Fd::F1,
        "f0ro" => Fd::F0ReadOnly,
        other => return Err(format!("unknown file {other:?}")),
    })
}

fn recorded(value: &Value) -> Parsed<Recorded> {
    Ok(Recorded {
        vmas: list(value, "v", vma_line)?,
        pages: list(value, "pm", |run| {
            let letter = run.get(2).and_then(Value::as_str).and_then(|s| s.chars().next());
            run_of(run, letter)
        })?,
        contents: list(value, "ct", |run| run_of(run, run.get(2).and_then(Value::as_u64)))?,
    })
}

fn list<T>(value: &Value, key: &str, one: impl Fn(&Value) -> Option<T>) -> Parsed<Option<Vec<T>>> {
    let Some(list) = value.get(key) else { return Ok(None) };
    let list = list.as_array().ok_or_else(|| format!("{key:?} is no list"))?;
    let parsed: Option<Vec<T>> = list.iter().map(one).collect();
    parsed.map(Some).ok_or_else(|| format!("{key:?} has an entry that is none"))
}

fn run_of<T>(run: &Value, value: Option<T>) -> Option<Run<T>> {
    Some(Run { first: run.get(0)?.as_u64()?, count: run.get(1)?.as_u64()?, value: value? })
}

fn vma_line(value: &Value) -> Option<VmaLine> {
    let [start, end, perms, offset, name, flags] = value.as_array()?.as_slice() else { return None };
    let mut flags: Vec<String> = flags.as_str()?.split_whitespace().map(ToOwned::to_owned).collect();
    flags.sort();
    Some(VmaLine {
        start: start.as_u64()?,
        end: end.as_u64()?,
        perms: perms.as_str()?.to_owned(),
        offset: offset.as_u64()?,
        name: name.as_str()?.to_owned(),
        flags,
    })
}
