//! The recorded lines, for the tests of every crate that plays them.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;

/// The text of a file in `tests/data/lockdep/`, unpacked if need be.
pub(crate) fn text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/lockdep").join(name);
    let mut file = File::open(path).expect(name);
    let mut text = String::new();
    match name.ends_with(".gz") {
        true => GzDecoder::new(file).read_to_string(&mut text),
        false => file.read_to_string(&mut text),
    }
    .expect("text");
    text
}
