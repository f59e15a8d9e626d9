//! Lines from a file or standard input, packed or not, and what kind of lines they are.

use crate::cli::InputArg;
use flate2::read::MultiGzDecoder;
use lockdep::kernel_trace::TraceLine;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// What the lines of an input are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A recorded case in JSON each.
    Json,
    /// Events as trace-cmd and perf print them.
    Trace,
}

/// An input, line by line.
pub(super) struct Input {
    /// As messages name it.
    pub(super) name: String,
    pub(super) form: Form,
    lines: Lines,
}

/// A line, or why it cannot be read as text.
type Line = Result<String, String>;

struct Lines {
    from: Box<dyn BufRead>,
    /// Read already, to find out what they are.
    ahead: VecDeque<Line>,
    number: usize,
}

/// So many lines may be unreadable before the first that tells what the lines are.
const LOOK_AHEAD: usize = 64;

impl Input {
    /// Opens a file, or standard input for `-`. Whether it is packed is told by its first bytes, what its lines are by the
    /// first that can be read as either, unless `form` says it.
    ///
    /// # Errors
    /// One line that names the input and what is wrong with it.
    pub(super) fn open(path: &Path, form: InputArg) -> Result<Input, String> {
        let (name, from): (String, Box<dyn BufRead>) = match path.to_str() {
            Some("-") => ("<stdin>".to_owned(), Box::new(BufReader::new(io::stdin()))),
            _ => {
                let shown = path.display();
                let file = File::open(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
                (shown.to_string(), Box::new(BufReader::new(file)))
            }
        };
        let from = unpacked(from).map_err(|e| format!("{name}: cannot be read: {e}"))?;
        let mut lines = Lines { from, ahead: VecDeque::new(), number: 0 };
        let form = match form {
            InputArg::Json => Form::Json,
            InputArg::Trace => Form::Trace,
            InputArg::Auto => lines.form().map_err(|why| format!("{name}: {why}"))?,
        };
        Ok(Input { name, form, lines })
    }

    /// The next line that is not empty, with its number from 1.
    pub(super) fn next_line(&mut self) -> Option<(usize, Line)> {
        loop {
            let line = self.lines.ahead.pop_front().or_else(|| self.lines.read())?;
            self.lines.number += 1;
            if line.as_ref().map_or(true, |line| !line.trim().is_empty()) {
                return Some((self.lines.number, line));
            }
        }
    }
}

fn unpacked(mut from: Box<dyn BufRead>) -> io::Result<Box<dyn BufRead>> {
    Ok(match from.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(from))),
        _ => from,
    })
}

impl Lines {
    fn read(&mut self) -> Option<Line> {
        let mut bytes = Vec::new();
        match self.from.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => {
                while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
                    bytes.pop();
                }
                Some(
                    String::from_utf8(bytes).map_err(|e| {
                        format!("not text: byte {} of the line is not UTF-8", e.utf8_error().valid_up_to())
                    }),
                )
            }
            Err(why) => {
                // Nothing can follow what cannot be read.
                self.from = Box::new(io::empty());
                Some(Err(format!("cannot be read: {why}")))
            }
        }
    }

    fn form(&mut self) -> Result<Form, String> {
        let mut first_bad = None;
        while self.ahead.len() < LOOK_AHEAD {
            let Some(line) = self.read() else { break };
            let form = line.as_deref().ok().and_then(form_of);
            let number = self.ahead.len() + 1;
            if let (None, Err(why)) = (&first_bad, &line) {
                first_bad = Some(format!("{number}: {why}"));
            }
            if let (None, Ok(line)) = (&first_bad, &line)
                && TraceLine::parse(line).is_err()
            {
                first_bad = Some(format!("{number}: neither a JSON object nor a line of a trace"));
            }
            self.ahead.push_back(line);
            if let Some(form) = form {
                return Ok(form);
            }
        }
        match first_bad {
            Some(why) => Err(format!("{why}; --input says which it is to be read as")),
            None if self.ahead.is_empty() => Err("the file is empty".to_owned()),
            None => Ok(Form::Trace),
        }
    }
}

/// What a line shows the whole input to be.
fn form_of(line: &str) -> Option<Form> {
    match TraceLine::parse(line) {
        _ if line.trim_start().starts_with('{') => Some(Form::Json),
        Ok(TraceLine::Event(_)) => Some(Form::Trace),
        _ => None,
    }
}
