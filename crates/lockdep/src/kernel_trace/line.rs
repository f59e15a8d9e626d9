//! One line of the text.

use crate::recorded::BadLine;

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceLine<'t> {
    /// An event of a task.
    Event(TraceEvent<'t>),
    /// Events were lost before this line.
    Lost,
    /// A header whose columns tell of softirqs: their absence means something from here on.
    TellsOfSoftirqs,
    /// Nothing that matters: another header, a comment, a frame of a stack, an empty line.
    Other,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent<'t> {
    /// The task's name.
    pub comm: &'t str,
    /// Its number: 0 for the idle task of each CPU.
    pub pid: u32,
    /// The CPU, where it was printed.
    pub cpu: Option<u32>,
    /// The flags column, where there is one.
    pub context: Option<TraceContext>,
    /// What happened.
    pub kind: EventKind<'t>,
}

/// The flags column: `d..1.` and the like (`trace_print_lat_fmt()`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// Hardirqs are off: `d` or `D` in the first place. None where the architecture does not tell: `X`.
    pub hardirqs_off: Option<bool>,
    /// Bottom halves are disabled: `b` or `D` in the first place. `.` there may mean that the kernel does not tell.
    pub bh_off: bool,
    /// In a hardirq handler: `h`, `H` or `Z`.
    pub hardirq: bool,
    /// In a softirq handler: `s`, or `H` if a hardirq interrupted it.
    pub softirq: bool,
    /// In an NMI: `z` or `Z`.
    pub nmi: bool,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind<'t> {
    /// `lock_acquire`.
    Acquire {
        /// Of the lock's map.
        address: u64,
        /// It was taken by a trylock.
        trylock: bool,
        /// It was taken shared.
        read: bool,
        /// The class's name.
        name: &'t str,
    },
    /// `lock_release`.
    Release {
        /// Of the lock's map.
        address: u64,
        /// The class's name.
        name: &'t str,
    },
    /// `irq_handler_entry`, or the entry of an interrupt vector.
    HardirqEntry,
    /// Its counterpart.
    HardirqExit,
    /// `softirq_entry`.
    SoftirqEntry,
    /// Its counterpart.
    SoftirqExit,
    /// Any other event.
    Other,
}

type Parsed<T> = Result<T, BadLine>;

fn bad<T>(field: &str, problem: String) -> Parsed<T> {
    Err(BadLine { field: field.to_owned(), problem })
}

impl<'t> TraceLine<'t> {
    /// Reads one line, without its line end.
    ///
    /// # Errors
    /// The field (`task`, `cpu`, `flags`, `address`, `name`) of a lock event that is not what it should be; no field if the
    /// line is neither an event nor anything else that the three programs print.
    pub fn parse(line: &'t str) -> Parsed<Self> {
        if ["EVENTS DROPPED]", "[LOST ", "PERF_RECORD_LOST"].iter().any(|lost| line.contains(lost)) {
            return Ok(Self::Lost);
        }
        if line.starts_with('#') {
            return Ok(if line.contains("BH-disabled") { Self::TellsOfSoftirqs } else { Self::Other });
        }
        match Split::of(line) {
            Some(split) => split.event().map(Self::Event),
            None if is_noise(line) => Ok(Self::Other),
            None if line.contains("lock_acquire:") || line.contains("lock_release:") => {
                bad("time", "missing; seconds and a colon are wanted before the event".to_owned())
            }
            None => bad("", format!("{:?} is no line of a trace", shortened(line))),
        }
    }
}

/// What `trace-cmd report` and `perf script` print besides events.
fn is_noise(line: &str) -> bool {
    let trimmed = line.trim();
    let indented = line.starts_with([' ', '\t']);
    let first = trimmed.split_whitespace().next().unwrap_or_default();
    trimmed.is_empty()
        || ["cpus=", "version = ", "CPU ", "CPU:", "=> ", "<stack trace>", "trace.dat", "page: "]
            .iter()
            .any(|start| trimmed.starts_with(start))
        || indented && u64::from_str_radix(first, 16).is_ok()
}

/// Not more of a line than a message needs.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// An event line in its parts.
struct Split<'t> {
    /// Before the CPU or, if that is not printed, before the time.
    task: &'t str,
    /// Its digits.
    cpu: Option<&'t str>,
    flags: Option<&'t str>,
    /// Without system and colon.
    event: &'t str,
    /// Behind the event's colon.
    args: &'t str,
}

impl<'t> Split<'t> {
    /// Takes a line apart at its time, the first word of digits, a point, digits and a colon, if an event follows.
    fn of(line: &'t str) -> Option<Self> {
        let words = Words { text: line, at: 0 };
        let (start, time) = words.into_iter().find(|(_, word)| is_time(word))?;
        let behind = &line[start + time.len()..];
        let (event, args) = behind.split_once(": ").or_else(|| Some((behind.trim_end().strip_suffix(':')?, "")))?;
        let event = event.trim();
        if event.is_empty() || event.contains(char::is_whitespace) {
            return None;
        }
        let event = event.rsplit(':').next().unwrap_or(event);
        let before = line[..start].trim();
        let (before, last) = split_last(before);
        let whole = Split { task: line[..start].trim(), cpu: None, flags: None, event, args: args.trim() };
        // `task [cpu] flags` of the tracing file, `task cpuflags` of `trace-cmd report -l`, `task [cpu]` or `task`.
        if let Some(cpu) = bracketed(last) {
            return Some(Split { task: before, cpu: Some(cpu), ..whole });
        }
        if let Some((cpu, flags)) = cpu_with_flags(last) {
            return Some(Split { task: before, cpu: Some(cpu), flags: Some(flags), ..whole });
        }
        let (task, cpu) = split_last(before);
        match bracketed(cpu) {
            Some(cpu) => Some(Split { task, cpu: Some(cpu), flags: Some(last), ..whole }),
            None => Some(whole),
        }
    }

    fn event(&self) -> Parsed<TraceEvent<'t>> {
        let kind = match self.event {
            "lock_acquire" => acquire(self.args)?,
            "lock_release" => {
                let (address, name) = address(self.args)?;
                EventKind::Release { address, name: named(name)? }
            }
            "irq_handler_entry"
            | "local_timer_entry"
            | "reschedule_entry"
            | "call_function_entry"
            | "call_function_single_entry"
            | "irq_work_entry" => EventKind::HardirqEntry,
            "irq_handler_exit"
            | "local_timer_exit"
            | "reschedule_exit"
            | "call_function_exit"
            | "call_function_single_exit"
            | "irq_work_exit" => EventKind::HardirqExit,
            "softirq_entry" => EventKind::SoftirqEntry,
            "softirq_exit" => EventKind::SoftirqExit,
            // Whatever else it is, its other columns need not be understood.
            _ => return Ok(TraceEvent { comm: "", pid: 0, cpu: None, context: None, kind: EventKind::Other }),
        };
        let (comm, pid) = self.comm_and_pid()?;
        let cpu = match self.cpu.map(|cpu| (cpu, cpu.parse())) {
            None => None,
            Some((_, Ok(cpu))) => Some(cpu),
            Some((cpu, Err(_))) => return bad("cpu", format!("{cpu} is the number of no CPU")),
        };
        let context = self.flags.map(context).transpose()?;
        Ok(TraceEvent { comm, pid, cpu, context, kind })
    }

    /// `comm-123` or `comm-123 (tgid)` of trace-cmd, `comm 123` or `comm 123/124` of perf (process and thread).
    fn comm_and_pid(&self) -> Parsed<(&'t str, u32)> {
        let group = |inside: &str| inside.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let task = match self.task.strip_suffix(')').and_then(|task| task.rsplit_once('(')) {
            Some((task, inside)) if group(inside) => task.trim_end(),
            _ => self.task,
        };
        let (comm, last) = split_last(task);
        let tid = last.rsplit('/').next().unwrap_or(last);
        if !comm.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/') {
            return match tid.parse() {
                Ok(pid) => Ok((comm, pid)),
                Err(_) => bad("task", format!("{last} is the number of no task")),
            };
        }
        match task.rsplit_once('-').map(|(comm, pid)| (comm, pid.parse())) {
            Some((comm, Ok(pid))) => Ok((comm, pid)),
            _ => bad("task", format!("{:?} found where a name and a number are wanted", shortened(task))),
        }
    }
}

/// The words of a text with where they begin.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Words<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.find(|c: char| !c.is_whitespace())?;
        let rest = &self.text[start..];
        let word = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        self.at = start + word.len();
        Some((start, word))
    }
}

/// The last word, and what is before it.
fn split_last(text: &str) -> (&str, &str) {
    let text = text.trim_end();
    match text.rfind(char::is_whitespace) {
        Some(at) => {
            let last = text[at..].trim_start();
            (text[..text.len() - last.len()].trim(), last)
        }
        None => ("", text),
    }
}

fn is_time(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = word.strip_suffix(':').and_then(|word| word.split_once('.'));
    parts.is_some_and(|(seconds, fraction)| digits(seconds) && digits(fraction))
}

/// The digits of `[001]`.
fn bracketed(word: &str) -> Option<&str> {
    let number = word.strip_prefix('[')?.strip_suffix(']')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// The two parts of `1d.h1.`.
fn cpu_with_flags(word: &str) -> Option<(&str, &str)> {
    let (cpu, flags) = word.split_at(word.find(|c: char| !c.is_ascii_digit())?);
    (!cpu.is_empty() && flags.starts_with(['.', 'd', 'b', 'D', 'X'])).then_some((cpu, flags))
}

/// The first three places: interrupts, rescheduling (which does not matter), handler.
fn context(flags: &str) -> Parsed<TraceContext> {
    let mut places = flags.chars();
    let (Some(irqs), Some(_), Some(handler)) = (places.next(), places.next(), places.next()) else {
        return bad("flags", format!("{flags:?} is too short: at least three places are wanted"));
    };
    let (hardirqs_off, bh_off) = match irqs {
        '.' => (Some(false), false),
        'd' => (Some(true), false),
        'b' => (Some(false), true),
        'D' => (Some(true), true),
        'X' => (None, false),
        other => return bad("flags", format!("{other:?} in the first place is none of . d b D X")),
    };
    let (hardirq, softirq, nmi) = match handler {
        '.' => (false, false, false),
        's' => (false, true, false),
        'h' => (true, false, false),
        'H' => (true, true, false),
        'z' => (false, false, true),
        'Z' => (true, false, true),
        other => return bad("flags", format!("{other:?} in the third place is none of . s h H z Z")),
    };
    Ok(TraceContext { hardirqs_off, bh_off, hardirq, softirq, nmi })
}

fn acquire(args: &str) -> Parsed<EventKind<'_>> {
    let (address, mut name) = address(args)?;
    let mut flag = |word: &str| match name.strip_prefix(word) {
        Some(rest) => {
            name = rest;
            true
        }
        None => false,
    };
    let (trylock, read) = (flag("try "), flag("read "));
    Ok(EventKind::Acquire { address, trylock, read, name: named(name)? })
}

/// `%p`: hexadecimal, with `0x` or without; and what follows.
fn address(args: &str) -> Parsed<(u64, &str)> {
    let (word, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    match u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16) {
        Ok(address) => Ok((address, rest.trim_start())),
        Err(_) => bad("address", format!("{:?} found where a hexadecimal address is wanted", shortened(word))),
    }
}

fn named(name: &str) -> Parsed<&str> {
    match name.trim() {
        "" => bad("name", "missing; the lock's name is wanted behind its address".to_owned()),
        name => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn event(line: &str) -> TraceEvent<'_> {
        match TraceLine::parse(line) {
            Ok(TraceLine::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    const MMAP_LOCK: EventKind<'_> =
        EventKind::Acquire { address: 0xffff_8880_03f5_a018, trylock: true, read: true, name: "&mm->mmap_lock" };

    #[test]
    fn both_programs_print_the_same_event() {
        let context = TraceContext { hardirqs_off: Some(true), softirq: true, ..TraceContext::default() };
        let trace_cmd = event(
            "            bash-1234  [001] d.s1.  1234.567890: lock_acquire:         0xffff888003f5a018 try read &mm->mmap_lock",
        );
        let expected = TraceEvent { comm: "bash", pid: 1234, cpu: Some(1), context: Some(context), kind: MMAP_LOCK };
        assert_eq!(trace_cmd, expected);
        let perf = event(
            "bash  1234 [001]  1234.567890:         lock:lock_acquire: 0xffff888003f5a018 try read &mm->mmap_lock",
        );
        assert_eq!(perf, TraceEvent { context: None, ..expected.clone() });
        let one_task =
            event("bash  1200/1234  1234.567890: lock:lock_acquire: 0xffff888003f5a018 try read &mm->mmap_lock");
        assert_eq!(one_task, TraceEvent { context: None, cpu: None, ..expected.clone() });
        let latency = event(
            "    bash-1234    1d.s1.  1234.567890: lock_acquire:         0xffff888003f5a018 try read &mm->mmap_lock",
        );
        assert_eq!(latency, expected);
        let file = event(
            "bash-1234    (  1200) [001] d.s1. 1234.567890: lock_acquire: ffff888003f5a018 try read &mm->mmap_lock",
        );
        assert_eq!((file.kind, file.pid), (MMAP_LOCK, 1234));
    }

    #[test]
    fn names_of_tasks_and_locks_may_have_anything_in_them() {
        let task = |line| {
            let event = event(line);
            (event.comm.to_owned(), event.pid)
        };
        assert_eq!(
            task("kworker/0:1-events [x]-17 [000] 1.5: lock_release: 0x1 a"),
            ("kworker/0:1-events [x]".into(), 17)
        );
        assert_eq!(task("Web Content  17 [000] 1.5: lock:lock_release: 0x1 a"), ("Web Content".into(), 17));
        assert_eq!(task("<idle>-0 [003] 1.5: lock_release: 0x1 a"), ("<idle>".into(), 0));
        assert_eq!(task("a-1 2-3 [000] 1.5: lock_release: 0x1 a"), ("a-1 2".into(), 3));
        let EventKind::Release { name, .. } = event("a-1 [000] 1.5: lock_release: 0x1 (wq)x: y z").kind else {
            panic!()
        };
        assert_eq!(name, "(wq)x: y z");
        let EventKind::Acquire { name, trylock, read, .. } = event("a-1 [000] 1.5: lock_acquire: 0x1 read lock").kind
        else {
            panic!()
        };
        assert_eq!((name, trylock, read), ("lock", false, true));
    }

    #[test]
    fn the_flags_column() {
        let context =
            |flags: &str| event(&format!("a-1 [000] {flags} 1.5: lock_release: 0x1 a")).context.expect("flags");
        let none = TraceContext { hardirqs_off: Some(false), ..TraceContext::default() };
        assert_eq!(context("....."), none);
        assert_eq!(context("bN.2."), TraceContext { bh_off: true, ..none });
        assert_eq!(context("D..1."), TraceContext { bh_off: true, hardirqs_off: Some(true), ..none });
        assert_eq!(context("dNH1."), TraceContext { hardirqs_off: Some(true), hardirq: true, softirq: true, ..none });
        assert_eq!(context("d.Z1."), TraceContext { hardirqs_off: Some(true), hardirq: true, nmi: true, ..none });
        assert_eq!(context("X.h1."), TraceContext { hardirqs_off: None, hardirq: true, ..none });
    }

    #[test]
    fn what_else_is_printed_is_no_mistake() {
        for line in [
            "",
            "cpus=2",
            "version = 7",
            "CPU 1 is empty",
            "# tracer: nop",
            " => __mutex_lock",
            "\tffffffff81 x+0x1 (k)",
        ] {
            assert_eq!(TraceLine::parse(line), Ok(TraceLine::Other), "{line}");
        }
        for line in ["CPU:0 [LOST 123 EVENTS]", "CPU:1 [12 EVENTS DROPPED]", "CPU:1 [EVENTS DROPPED]"] {
            assert_eq!(TraceLine::parse(line), Ok(TraceLine::Lost), "{line}");
        }
        assert_eq!(TraceLine::parse("#    _-----=> irqs-off/BH-disabled"), Ok(TraceLine::TellsOfSoftirqs));
        assert_eq!(event("a-1 [000] 1.5: sched_switch: a:1 ==> b:2").kind, EventKind::Other);
        assert_eq!(event("a-1 [000] 1.5: irq:softirq_entry: vec=1").kind, EventKind::SoftirqEntry);
    }

    #[test]
    fn a_bad_line_names_its_field() {
        for (line, field) in [
            ("a-1 [000] d..1. 1.5: lock_acquire: 0xzz a", "address"),
            ("a-1 [000] d..1. 1.5: lock_acquire: (____ptrval____) a", "address"),
            ("a-1 [000] d..1. 1.5: lock_acquire:", "address"),
            ("a-1 [000] d..1. 1.5: lock_acquire: 0x1", "name"),
            ("a-1 [000] q..1. 1.5: lock_acquire: 0x1 a", "flags"),
            ("a-1 [000] d.q1. 1.5: lock_acquire: 0x1 a", "flags"),
            ("a-1 [000] d. 1.5: lock_acquire: 0x1 a", "flags"),
            ("a-x [000] d..1. 1.5: lock_acquire: 0x1 a", "task"),
            ("[000] 1.5: lock_acquire: 0x1 a", "task"),
            ("a-1 [99999999999] 1.5: lock_acquire: 0x1 a", "cpu"),
            ("a 99999999999 [000] 1.5: lock_acquire: 0x1 a", "task"),
            ("a-1 [000] lock_acquire: 0x1 a", "time"),
            ("hello", ""),
        ] {
            assert_eq!(TraceLine::parse(line).map_err(|e| e.field), Err(field.to_owned()), "{line}");
        }
    }
}
