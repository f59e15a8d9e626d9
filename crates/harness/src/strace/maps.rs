//! Reading /proc/PID/maps.

use super::scan::{TextError, Unreadable, expect, hex, quoted};
use mm::vma::MapsLine;
use mm_types::{PageRange, Prot, VirtAddr, Vpn};
use std::fmt;

/// A snapshot of /proc/PID/maps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Maps {
    /// The lines, in order of addresses.
    pub lines: Vec<MapsLine>,
}

impl Maps {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// Everything that could not be read, in order of lines; also an empty text, and lines out of order.
    pub fn parse(text: &str) -> Result<Maps, Vec<TextError>> {
        let mut lines: Vec<MapsLine> = Vec::new();
        let mut errors = Vec::new();
        // Not `lines()`: a name may end in a carriage return, which that takes for a part of the line's end.
        for (i, line) in text.split_terminator('\n').enumerate() {
            let end = lines.last().map_or(Vpn(0), |l| l.range.end());
            match read_line(line).and_then(|read| in_order(read, end, line)) {
                Ok(read) => lines.push(read),
                Err(error) => errors.push(error.in_line(i + 1, line)),
            }
        }
        if lines.is_empty() && errors.is_empty() {
            errors.push(TextError { line: 1, column: 1, message: "the snapshot is empty".to_owned() });
        }
        if errors.is_empty() { Ok(Maps { lines }) } else { Err(errors) }
    }

    /// The line that maps `addr`.
    #[must_use]
    pub fn find(&self, addr: VirtAddr) -> Option<&MapsLine> {
        self.lines.iter().find(|l| l.range.contains(addr.vpn()))
    }
}

impl fmt::Display for Maps {
    /// As the kernel prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Reads `start-end perms offset device inode   name`.
fn read_line(text: &str) -> Result<MapsLine, Unreadable> {
    let (start, rest) = hex(text)?;
    let (end, rest) = hex(expect(rest, "-")?)?;
    let range =
        PageRange::from_bytes(VirtAddr(start), VirtAddr(end)).map_err(|e| Unreadable::at(text, e.to_string()))?;
    let (prot, shared, rest) = perms(expect(rest, " ")?)?;
    let (offset_bytes, rest) = hex(expect(rest, " ")?)?;
    let rest = expect(rest, " ")?;
    let device_len = device_inode_len(rest)?;
    let (device_inode, rest) = rest.split_at(device_len);
    Ok(MapsLine {
        range,
        prot,
        shared,
        offset_bytes,
        device_inode: device_inode.to_owned(),
        name: rest.trim_start().to_owned(),
    })
}

fn in_order(line: MapsLine, end: Vpn, text: &str) -> Result<MapsLine, Unreadable> {
    if line.range.start() < end {
        return Err(Unreadable::at(text, format!("starts below the end of the line before, {}", end.addr())));
    }
    Ok(line)
}

/// Reads `rwxp`.
fn perms(text: &str) -> Result<(Prot, bool, &str), Unreadable> {
    let wrong = || Unreadable::at(text, format!("expected permissions such as `r-xp`, found {}", quoted(text)));
    let mut prot = Prot::empty();
    let bytes = text.as_bytes();
    for (i, (c, bit)) in [(b'r', Prot::READ), (b'w', Prot::WRITE), (b'x', Prot::EXEC)].into_iter().enumerate() {
        match bytes.get(i) {
            Some(b) if *b == c => prot |= bit,
            Some(b'-') => {}
            _ => return Err(wrong()),
        }
    }
    let shared = match bytes.get(3) {
        Some(b's') => true,
        Some(b'p') => false,
        _ => return Err(wrong()),
    };
    Ok((prot, shared, &text[4..]))
}

/// The length of `fe:00 247030`.
fn device_inode_len(text: &str) -> Result<usize, Unreadable> {
    let (_, rest) = hex(text)?;
    let (_, rest) = hex(expect(rest, ":")?)?;
    let rest = expect(rest, " ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    if digits == 0 {
        return Err(Unreadable::at(rest, format!("expected an inode, found {}", quoted(rest))));
    }
    Ok(text.len() - rest.len() + digits)
}
