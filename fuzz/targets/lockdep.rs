//! Recorded lock operations in JSON: read, played, drawn.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[allow(dead_code, reason = "a target takes one of the functions")]
#[path = "../src/check.rs"]
mod check;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    check::lockdep(text);
    Corpus::Keep
});
