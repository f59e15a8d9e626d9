//! One system call of a log: its name, arguments and result as values.

use super::scan::{Unreadable, number, quoted};
use bitflags::{Flags, bitflags};
use mm::vma::MapFlags;
pub use mm::vma::MremapFlags;
use mm_types::{Errno, Prot, VirtAddr};

bitflags! {
    /// The flags of `clone` that decide what is shared with the parent (include/uapi/linux/sched.h). Others are kept as
    /// unnamed bits or left out.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct CloneFlags: u64 {
        /// `CLONE_VM`: one address space.
        const VM = 0x100;
        /// `CLONE_VFORK`: the parent waits until the child executes or exits.
        const VFORK = 0x4000;
        /// `CLONE_THREAD`: one process.
        const THREAD = 0x1_0000;
    }
}

/// A file descriptor with the path `-y` printed behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fd {
    /// The number; -1 for none.
    pub number: i64,
    /// The path, if any.
    pub path: Option<String>,
}

/// Where a snapshot of /proc/PID/maps was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marker {
    /// After start-up.
    Start,
    /// Before the exit.
    End,
}

/// A system call. Lengths are bytes as passed, not rounded.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments by their names in the manual pages")]
pub enum Call {
    /// `mmap`.
    Mmap { addr: VirtAddr, len_bytes: u64, prot: Prot, flags: MapFlags, fd: Fd, offset_bytes: u64 },
    /// `munmap`.
    Munmap { addr: VirtAddr, len_bytes: u64 },
    /// `mprotect`.
    Mprotect { addr: VirtAddr, len_bytes: u64, prot: Prot },
    /// `brk`; address 0 asks for the end of the heap.
    Brk { addr: VirtAddr },
    /// `mremap`; `new_addr` with `MREMAP_FIXED` or `MREMAP_DONTUNMAP`.
    Mremap { addr: VirtAddr, old_len_bytes: u64, new_len_bytes: u64, flags: MremapFlags, new_addr: Option<VirtAddr> },
    /// `madvise`; the advice as printed (`MADV_DONTNEED`).
    Madvise { addr: VirtAddr, len_bytes: u64, advice: String },
    /// `execve` or `execveat`; the path as printed, without quotes.
    Execve { path: String },
    /// `clone` or `clone3`.
    Clone { flags: CloneFlags },
    /// `fork`.
    Fork,
    /// `vfork`.
    Vfork,
    /// `exit`: this thread.
    Exit { status: u64 },
    /// `exit_group`: all threads.
    ExitGroup { status: u64 },
    /// Another call, whose arguments are not read (`wait4`).
    Other { name: String },
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It returned this.
    Value(u64),
    /// It failed with this error, by name: logs contain more of them than are modelled.
    Failed(String),
    /// It did not return (`?`).
    Unknown,
}

impl Outcome {
    /// The error as a value, when it is one of those modelled.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Outcome::Failed(name) => Errno::from_name(name),
            Outcome::Value(_) | Outcome::Unknown => None,
        }
    }
}

impl Call {
    /// The name of the system call; `clone3` is told as `clone`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Call::Mmap { .. } => "mmap",
            Call::Munmap { .. } => "munmap",
            Call::Mprotect { .. } => "mprotect",
            Call::Brk { .. } => "brk",
            Call::Mremap { .. } => "mremap",
            Call::Madvise { .. } => "madvise",
            Call::Execve { .. } => "execve",
            Call::Clone { .. } => "clone",
            Call::Fork => "fork",
            Call::Vfork => "vfork",
            Call::Exit { .. } => "exit",
            Call::ExitGroup { .. } => "exit_group",
            Call::Other { name } => name,
        }
    }

    /// The marker this call is, if it is one.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        match self {
            Call::Munmap { addr: VirtAddr(0x5eed_0000), len_bytes: 0 } => Some(Marker::Start),
            Call::Munmap { addr: VirtAddr(0x5eed_1000), len_bytes: 0 } => Some(Marker::End),
            _ => None,
        }
    }

    /// Reads the arguments. `args` is the text between the parentheses, a part of the line.
    pub(super) fn read(name: &str, args: &str) -> Result<Call, Unreadable> {
        let mut args = Args { rest: args };
        let call = match name {
            "mmap" => Call::Mmap {
                addr: args.addr()?,
                len_bytes: args.number()?,
                prot: args.prot()?,
                flags: args.flags(MAP_WORDS)?,
                fd: args.fd()?,
                offset_bytes: args.number()?,
            },
            "munmap" => Call::Munmap { addr: args.addr()?, len_bytes: args.number()? },
            "mprotect" => Call::Mprotect { addr: args.addr()?, len_bytes: args.number()?, prot: args.prot()? },
            "brk" => Call::Brk { addr: args.addr()? },
            "mremap" => Call::Mremap {
                addr: args.addr()?,
                old_len_bytes: args.number()?,
                new_len_bytes: args.number()?,
                flags: args.flags(MREMAP_WORDS)?,
                new_addr: if args.rest.is_empty() { None } else { Some(args.addr()?) },
            },
            "madvise" => {
                Call::Madvise { addr: args.addr()?, len_bytes: args.number()?, advice: args.next()?.to_owned() }
            }
            "execve" => {
                let path = args.next()?.trim_matches('"').to_owned();
                args.rest = "";
                Call::Execve { path }
            }
            "execveat" => {
                args.next()?;
                let path = args.next()?.trim_matches('"').to_owned();
                args.rest = "";
                Call::Execve { path }
            }
            "clone" | "clone3" => {
                let flags = clone_flags(args.rest)?;
                args.rest = "";
                Call::Clone { flags }
            }
            "fork" => Call::Fork,
            "vfork" => Call::Vfork,
            "exit" => Call::Exit { status: args.number()? },
            "exit_group" => Call::ExitGroup { status: args.number()? },
            _ => return Ok(Call::Other { name: name.to_owned() }),
        };
        args.end(call)
    }
}

/// The arguments not yet read.
struct Args<'t> {
    rest: &'t str,
}

impl<'t> Args<'t> {
    fn next(&mut self) -> Result<&'t str, Unreadable> {
        if self.rest.is_empty() {
            return Err(Unreadable::at("", "an argument is missing"));
        }
        let end = argument_len(self.rest);
        let (arg, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        Ok(arg)
    }

    /// Reads one argument with `read`, keeping the place of an error: arguments are slices of one text, so what is left
    /// after the offending place is what is left of the argument and everything behind it.
    fn with<T>(&mut self, read: impl FnOnce(&'t str) -> Result<T, Unreadable>) -> Result<T, Unreadable> {
        let before = self.rest.len();
        let arg = self.next()?;
        read(arg).map_err(|e| Unreadable { rest_len: e.rest_len + before - arg.len(), ..e })
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        self.with(|arg| {
            let (n, rest) = number(arg)?;
            if rest.is_empty() { Ok(n) } else { Err(Unreadable::at(rest, format!("{} after a number", quoted(rest)))) }
        })
    }

    fn addr(&mut self) -> Result<VirtAddr, Unreadable> {
        if argument_len(self.rest) == 4 && self.rest.starts_with("NULL") {
            self.next()?;
            return Ok(VirtAddr(0));
        }
        self.number().map(VirtAddr)
    }

    fn prot(&mut self) -> Result<Prot, Unreadable> {
        self.flags(PROT_WORDS)
    }

    fn flags<F: Flags + Copy>(&mut self, words: &[(&str, F)]) -> Result<F, Unreadable>
    where
        F::Bits: TryFrom<u64>,
    {
        self.with(|arg| flag_words(arg, words))
    }

    fn fd(&mut self) -> Result<Fd, Unreadable> {
        self.with(|arg| {
            let (digits, negative) = match arg.strip_prefix('-') {
                Some(digits) => (digits, true),
                None => (arg, false),
            };
            let (n, rest) = number(digits)?;
            let n = i64::try_from(n).map_err(|_| Unreadable::at(arg, "no file descriptor"))?;
            // Newer versions say so behind the path, and the snapshots' names are compared without.
            let rest = rest.strip_suffix("(deleted)").unwrap_or(rest);
            let path = match rest.strip_prefix('<') {
                None if rest.is_empty() => None,
                Some(path) if path.ends_with('>') => Some(path[..path.len() - 1].to_owned()),
                _ => return Err(Unreadable::at(rest, format!("expected `<path>`, found {}", quoted(rest)))),
            };
            Ok(Fd { number: if negative { -n } else { n }, path })
        })
    }

    fn end(self, call: Call) -> Result<Call, Unreadable> {
        if self.rest.is_empty() {
            return Ok(call);
        }
        Err(Unreadable::at(self.rest, format!("{} has an argument too many: {}", call.name(), quoted(self.rest))))
    }
}

/// Reads `WORD|WORD|0x10`; a number stands for bits without a word.
fn flag_words<F: Flags + Copy>(arg: &str, words: &[(&str, F)]) -> Result<F, Unreadable>
where
    F::Bits: TryFrom<u64>,
{
    let mut flags = F::empty();
    let mut rest = arg;
    loop {
        let len = rest.find('|').unwrap_or(rest.len());
        let word = &rest[..len];
        let bits = match words.iter().find(|(w, _)| *w == word) {
            Some((_, bits)) => *bits,
            None => unnamed_bits(word)
                .map(F::from_bits_retain)
                .ok_or_else(|| Unreadable::at(rest, format!("unknown flag {}", quoted(word))))?,
        };
        flags = flags.union(bits);
        if len == rest.len() {
            return Ok(flags);
        }
        rest = &rest[len + 1..];
    }
}

fn unnamed_bits<B: TryFrom<u64>>(word: &str) -> Option<B> {
    let n = match number(word) {
        Ok((n, "")) => n,
        // The size of huge pages.
        Ok((n, "<<MAP_HUGE_SHIFT")) if n < 64 => n << 26,
        _ => return None,
    };
    B::try_from(n).ok()
}

/// The flags of `clone(child_stack=NULL, flags=A|B, ...)` and `clone3({flags=A|B, ...}, 88)`. Words are many and only
/// few matter, so the others are passed over.
fn clone_flags(args: &str) -> Result<CloneFlags, Unreadable> {
    let start = args.find("flags=").ok_or_else(|| Unreadable::at(args, "clone without `flags=`"))?;
    let text = &args[start + "flags=".len()..];
    let text = &text[..text.find([',', '}', ' ']).unwrap_or(text.len())];
    let words =
        [("CLONE_VM", CloneFlags::VM), ("CLONE_VFORK", CloneFlags::VFORK), ("CLONE_THREAD", CloneFlags::THREAD)];
    Ok(text
        .split('|')
        .filter_map(|word| words.iter().find(|(w, _)| *w == word))
        .fold(CloneFlags::empty(), |flags, (_, bits)| flags | *bits))
}

/// The length of the argument at the start of `text`: up to a comma outside quotes, brackets and paths.
fn argument_len(text: &str) -> usize {
    scan_to(text, |c, depth| c == ',' && depth == 0).unwrap_or(text.len())
}

/// The index of the first character outside quotes and paths for which `stop` holds, given the bracket depth there.
pub(super) fn scan_to(text: &str, stop: impl Fn(char, usize) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    let mut closing = None;
    let mut escaped = false;
    let mut previous = ' ';
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if let Some(end) = closing {
            match c {
                '\\' => escaped = true,
                c if c == end => closing = None,
                _ => {}
            }
        } else if stop(c, depth) {
            return Some(i);
        } else {
            match c {
                '"' => closing = Some('"'),
                // `3</path, with (anything)>`: strace escapes a `>` inside.
                '<' if previous.is_ascii_digit() && !text[i..].starts_with("<<") => closing = Some('>'),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        previous = c;
    }
    None
}

const PROT_WORDS: &[(&str, Prot)] =
    &[("PROT_NONE", Prot::empty()), ("PROT_READ", Prot::READ), ("PROT_WRITE", Prot::WRITE), ("PROT_EXEC", Prot::EXEC)];

const MREMAP_WORDS: &[(&str, MremapFlags)] = &[
    ("MREMAP_MAYMOVE", MremapFlags::MAYMOVE),
    ("MREMAP_FIXED", MremapFlags::FIXED),
    ("MREMAP_DONTUNMAP", MremapFlags::DONTUNMAP),
];

const MAP_WORDS: &[(&str, MapFlags)] = &[
    ("MAP_FILE", MapFlags::empty()),
    ("MAP_SHARED", MapFlags::SHARED),
    ("MAP_PRIVATE", MapFlags::PRIVATE),
    ("MAP_SHARED_VALIDATE", MapFlags::SHARED_VALIDATE),
    ("MAP_DROPPABLE", MapFlags::DROPPABLE),
    ("MAP_FIXED", MapFlags::FIXED),
    ("MAP_ANONYMOUS", MapFlags::ANONYMOUS),
    ("MAP_32BIT", MapFlags::LOW_32BIT),
    ("MAP_GROWSDOWN", MapFlags::GROWSDOWN),
    ("MAP_DENYWRITE", MapFlags::DENYWRITE),
    ("MAP_EXECUTABLE", MapFlags::EXECUTABLE),
    ("MAP_LOCKED", MapFlags::LOCKED),
    ("MAP_NORESERVE", MapFlags::NORESERVE),
    ("MAP_POPULATE", MapFlags::POPULATE),
    ("MAP_NONBLOCK", MapFlags::NONBLOCK),
    ("MAP_STACK", MapFlags::STACK),
    ("MAP_HUGETLB", MapFlags::HUGETLB),
    ("MAP_SYNC", MapFlags::SYNC),
    ("MAP_FIXED_NOREPLACE", MapFlags::FIXED_NOREPLACE),
];
