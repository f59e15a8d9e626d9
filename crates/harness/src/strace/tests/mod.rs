//! Tests of the readers and of the comparison, over seven recorded programs.

mod compare;
mod explain;
mod maps;
mod parse;
mod replay;

/// The text of a recorded file.
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../../../tests/data/strace/", $name))
    };
}
use recorded;
