//! Printing: data on standard output, complaints on standard error, colour only on a terminal.

use anstyle::{AnsiColor, Style};
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WORSE: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// Whether something could not be written to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes to standard output. A reader that went away (`| head`) is no error of ours; a full disk is.
pub(crate) fn print(text: &str) {
    let mut stdout = anstream::stdout();
    if let Err(why) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && why.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        error(&format!("the results cannot be written: {why}"));
    }
}

/// Whether results were lost on their way out.
pub(crate) fn lost_results() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Says what is wrong, in one line on standard error.
pub(crate) fn error(line: &str) {
    complain(&format!("{BAD}error:{BAD:#} {line}"));
}

/// Writes a line to standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Text with the lines that a reader looks for in colour.
pub(crate) fn print_report(text: &str) {
    let mut painted = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let style = if line.starts_with("as expected") {
            Some(GOOD)
        } else if line.starts_with("not as expected") || line.starts_with("WARNING: ") || line.starts_with("BUG: ") {
            Some(BAD)
        } else if line.starts_with("replay: ") || line.starts_with("proof: ") {
            Some(DIM)
        } else {
            None
        };
        match style {
            Some(s) => painted.push_str(&format!("{s}{line}{s:#}\n")),
            None => {
                painted.push_str(line);
                painted.push('\n');
            }
        }
    }
    print(&painted);
}

/// A table of cells with what a reader looks for in colour.
pub(crate) fn print_matrix(text: &str) {
    let mut painted = text.to_owned();
    for (word, style) in [("found", GOOD), ("missed", WORSE), ("false", BAD), ("quiet", DIM)] {
        painted = painted.replace(&format!("  {word}"), &format!("  {style}{word}{style:#}"));
    }
    print(&painted);
}

/// Whether standard error is a terminal: only then is there progress and colour on it.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
