//! Reading a log. A line is `[PID] [time] WHAT`, where WHAT is one of
//!
//! ```text
//! name(args) = result
//! name(args <unfinished ...>              the call goes on in a later line of the same PID:
//! <... name resumed>args) = result
//! <... name resumed> <unfinished ...>) = ?   the thread ended in it
//! name(args <pid changed to 7 ...>        an execve: the thread takes its process's id, and 7 resumes it
//! --- SIGNAL {...} ---
//! +++ exited with N +++
//! ```
//!
//! A call in two lines is one [`Entry`], where it ended: strace's order of completion.

use super::call::{Call, Marker, Outcome, scan_to};
use super::scan::{TextError, Unreadable, expect, number, quoted};
use std::collections::BTreeMap;

/// A log, in order of completion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StraceLog {
    /// What happened.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The line it ended in, from 1.
    pub line: usize,
    /// The line it began in; differs for a call that was overtaken.
    pub began: usize,
    /// The thread, as logged; 0 when the log has no such column.
    pub pid: u32,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A system call.
    Call(Call, Outcome),
    /// A signal was delivered, by name.
    Signal(String),
    /// The thread ended with this status.
    Exited(u64),
    /// The thread ended by a signal, or another thread's `execve`; the text between the signs.
    Gone(String),
}

impl Entry {
    /// The call, if this is one.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        match &self.event {
            Event::Call(call, _) => Some(call),
            _ => None,
        }
    }

    /// The marker this entry is, if it is one.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        self.call().and_then(Call::marker)
    }
}

impl StraceLog {
    /// Reads a log.
    ///
    /// # Errors
    /// Everything that could not be read, in order of lines. A last line without its end is one: what it says may be cut.
    /// So are an empty log and a call that never ends although its thread does not either.
    pub fn parse(text: &str) -> Result<StraceLog, Vec<TextError>> {
        let mut reader = Reader::default();
        let ends = text.ends_with('\n');
        let count = text.lines().count();
        for (i, line) in text.lines().enumerate() {
            let cut = i + 1 == count && !ends && !line.trim_end().ends_with("+++");
            let read = if cut {
                Err(Unreadable::at("", format!("the last line is truncated: {}", quoted(line))))
            } else {
                reader.line(i + 1, line)
            };
            if let Err(error) = read {
                reader.errors.push(error.in_line(i + 1, line));
            }
        }
        reader.finish()
    }

    /// How often each call occurs, by name; [`Event::Exited`] is counted as `+++ exited`.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            let name = match &entry.event {
                Event::Call(call, _) => call.name(),
                Event::Signal(_) => "---",
                Event::Exited(_) => "+++ exited",
                Event::Gone(_) => "+++",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// The entries of `pid` between its markers. `None` when it has not both, in this order.
    #[must_use]
    pub fn between_markers(&self, pid: u32) -> Option<&[Entry]> {
        let find = |marker| self.entries.iter().position(|e| e.pid == pid && e.marker() == Some(marker));
        let (start, end) = (find(Marker::Start)?, find(Marker::End)?);
        self.entries.get(start + 1..end)
    }
}

#[derive(Default)]
struct Reader<'t> {
    entries: Vec<Entry>,
    errors: Vec<TextError>,
    /// Calls begun and not ended, by thread: line, name, arguments so far.
    open: BTreeMap<u32, Open<'t>>,
    /// Calls of threads that are taking the id of their process, by that id.
    changed: BTreeMap<u32, Open<'t>>,
}

struct Open<'t> {
    line: usize,
    name: &'t str,
    args: &'t str,
}

impl<'t> Reader<'t> {
    fn line(&mut self, line: usize, text: &'t str) -> Result<(), Unreadable> {
        // Notes of strace itself, when it logs to the terminal.
        if text.trim().is_empty() || text.starts_with("strace: ") {
            return Ok(());
        }
        let (pid, rest) = thread(text)?;
        let rest = skip_time(rest);
        if let Some(rest) = rest.strip_prefix("+++ ") {
            return self.end_of_thread(line, pid, rest);
        }
        if let Some(rest) = rest.strip_prefix("--- ") {
            let name = rest.split(' ').next().unwrap_or_default().to_owned();
            self.push(line, line, pid, Event::Signal(name));
            return Ok(());
        }
        if let Some(rest) = rest.strip_prefix("<... ") {
            return self.resumed(line, pid, rest);
        }
        self.call(line, pid, rest)
    }

    fn push(&mut self, line: usize, began: usize, pid: u32, event: Event) {
        self.entries.push(Entry { line, began, pid, event });
    }

    fn end_of_thread(&mut self, line: usize, pid: u32, rest: &'t str) -> Result<(), Unreadable> {
        let text = rest
            .strip_suffix(" +++")
            .ok_or_else(|| Unreadable::at(rest, format!("expected `... +++`, found {}", quoted(rest))))?;
        // What the thread was doing never returned.
        if let Some(open) = self.open.remove(&pid) {
            let call = Call::Other { name: open.name.to_owned() };
            self.push(line, open.line, pid, Event::Call(call, Outcome::Unknown));
        }
        // The execve that did it goes on under this id, also if it was the thread's own line that was broken.
        let thread = text.strip_prefix("superseded by execve in pid ").and_then(|thread| thread.parse().ok());
        let executing = self.changed.remove(&pid).or_else(|| self.open.remove(&thread?));
        if let Some(open) = executing {
            self.open.insert(pid, open);
        }
        let event = match text.strip_prefix("exited with ") {
            Some(status) => match number(status)? {
                (status, "") => Event::Exited(status),
                (_, rest) => return Err(Unreadable::at(rest, "expected the end of the exit status")),
            },
            None => Event::Gone(text.to_owned()),
        };
        self.push(line, line, pid, event);
        Ok(())
    }

    fn call(&mut self, line: usize, pid: u32, rest: &'t str) -> Result<(), Unreadable> {
        let (name, args) = rest
            .split_once('(')
            .filter(|(name, _)| is_call_name(name))
            .ok_or_else(|| Unreadable::at(rest, format!("expected a system call, found {}", quoted(rest))))?;
        if let Some(before) = self.open.get(&pid) {
            let message = format!("{name} begins before {} of line {} has ended", before.name, before.line);
            return Err(Unreadable::at(rest, message));
        }
        if let Some(args) = args.strip_suffix("<unfinished ...>") {
            self.open.insert(pid, Open { line, name, args: args.strip_suffix(' ').unwrap_or(args) });
            return Ok(());
        }
        if let Some((args, process)) = pid_changed(args) {
            // Its line says next that the process's first thread is gone.
            self.changed.insert(process, Open { line, name, args });
            return Ok(());
        }
        let (args, tail) = split_args(args)?;
        let outcome = outcome(tail)?;
        if outcome == Outcome::Unknown && args.ends_with("<unfinished ...>") {
            self.push(line, line, pid, Event::Call(Call::Other { name: name.to_owned() }, outcome));
            return Ok(());
        }
        // Arguments are followed by `)` and the tail in the same line.
        let call = Call::read(name, args).map_err(|e| Unreadable { rest_len: e.rest_len + 1 + tail.len(), ..e })?;
        self.push(line, line, pid, Event::Call(call, outcome));
        Ok(())
    }

    fn resumed(&mut self, line: usize, pid: u32, rest: &'t str) -> Result<(), Unreadable> {
        let (name, tail) = rest
            .split_once(" resumed>")
            .ok_or_else(|| Unreadable::at(rest, format!("expected `NAME resumed>`, found {}", quoted(rest))))?;
        let open = match self.open.remove(&pid) {
            Some(open) if open.name == name => open,
            Some(open) => {
                let message = format!("{name} is resumed, but {} of line {} was unfinished", open.name, open.line);
                return Err(Unreadable::at(rest, message));
            }
            None => return Err(Unreadable::at(rest, format!("{name} is resumed, but was not unfinished"))),
        };
        // strace breaks a call anywhere between two arguments: only both parts together can be read.
        let joined = format!("{}{tail}", open.args);
        let (args, after) =
            split_args(&joined).map_err(|e| Unreadable { rest_len: e.rest_len.min(tail.len()), ..e })?;
        let outcome = outcome(after)?;
        if outcome == Outcome::Unknown && args.ends_with("<unfinished ...>") {
            self.push(line, open.line, pid, Event::Call(Call::Other { name: name.to_owned() }, outcome));
            return Ok(());
        }
        let call = Call::read(name, args).map_err(|e| {
            let rest_len = (e.rest_len + 1 + after.len()).min(tail.len());
            Unreadable { message: format!("{} (in the call begun in line {})", e.message, open.line), rest_len }
        })?;
        self.push(line, open.line, pid, Event::Call(call, outcome));
        Ok(())
    }

    fn finish(mut self) -> Result<StraceLog, Vec<TextError>> {
        for (pid, open) in self.open.iter().chain(&self.changed) {
            let message = format!("{} of thread {pid} is unfinished and never resumed", open.name);
            self.errors.push(TextError { line: open.line, column: 1, message });
        }
        if self.entries.is_empty() && self.errors.is_empty() {
            self.errors.push(TextError { line: 1, column: 1, message: "the log is empty".to_owned() });
        }
        if self.errors.is_empty() {
            return Ok(StraceLog { entries: self.entries });
        }
        self.errors.sort_by_key(|e| (e.line, e.column));
        Err(self.errors)
    }
}

/// What stands before ` <pid changed to 7 ...>`, and the 7.
fn pid_changed(args: &str) -> Option<(&str, u32)> {
    let (args, rest) = args.rsplit_once(" <pid changed to ")?;
    Some((args, rest.strip_suffix(" ...>")?.parse().ok()?))
}

/// `123 ` or `[pid   123] `; without either the log is of one thread, 0.
fn thread(text: &str) -> Result<(u32, &str), Unreadable> {
    if let Some(rest) = text.strip_prefix("[pid") {
        let (pid, rest) = number(rest.trim_start())?;
        return Ok((narrow(text, pid)?, expect(rest, "]")?.trim_start()));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 || !text[digits..].starts_with(' ') {
        return Ok((0, text));
    }
    let (pid, rest) = number(text)?;
    Ok((narrow(text, pid)?, rest.trim_start()))
}

fn narrow(text: &str, pid: u64) -> Result<u32, Unreadable> {
    u32::try_from(pid).map_err(|_| Unreadable::at(text, format!("{pid} is no thread")))
}

/// Passes over a time stamp (`-t`, `-tt`, `-ttt`, `-r`).
fn skip_time(text: &str) -> &str {
    let len = text.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(text.len());
    if len > 0 && text[len..].starts_with(' ') { text[len..].trim_start() } else { text }
}

fn is_call_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Splits what follows the opening parenthesis at the closing one.
fn split_args(text: &str) -> Result<(&str, &str), Unreadable> {
    let end = scan_to(text, |c, depth| c == ')' && depth == 0)
        .ok_or_else(|| Unreadable::at("", "the arguments do not end: expected `)`"))?;
    Ok((&text[..end], &text[end + 1..]))
}

/// Reads `   = 0x7f0000`, `= -1 EINVAL (Invalid argument)`, `= ?`. `text` ends with the line.
fn outcome(text: &str) -> Result<Outcome, Unreadable> {
    let text = expect(text.trim_start(), "=")?.trim_start();
    if let Some(rest) = text.strip_prefix('?') {
        // `? ERESTARTSYS (To be restarted)`: the call is done again, or the thread ends.
        return only_remarks(rest.trim_start_matches(|c: char| c == ' ' || c.is_ascii_alphanumeric() || c == '_'))
            .map(|()| Outcome::Unknown);
    }
    if let Some(rest) = text.strip_prefix("-1 ") {
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if !rest.starts_with('E') {
            return Err(Unreadable::at(rest, format!("expected the name of an error, found {}", quoted(rest))));
        }
        return only_remarks(&rest[len..]).map(|()| Outcome::Failed(rest[..len].to_owned()));
    }
    let (value, rest) = number(text)?;
    only_remarks(rest).map(|()| Outcome::Value(value))
}

/// Explanations and times may follow a result: `(Invalid argument)`, `<0.000012>`.
fn only_remarks(text: &str) -> Result<(), Unreadable> {
    let rest = text.trim_start();
    if rest.is_empty() || rest.starts_with('(') || rest.starts_with('<') {
        return Ok(());
    }
    Err(Unreadable::at(rest, format!("{} after the result", quoted(rest))))
}
