//! Reading input files, with one clear line when that is not possible.

use flate2::read::GzDecoder;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The text of a file. A text file is UTF-8 without a NUL; names in a memory map may hold any other control character.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
    if bytes.is_empty() {
        return Err(format!("{shown}: the file is empty"));
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(format!("{shown}: not a text file: byte {at} is NUL"));
    }
    String::from_utf8(bytes)
        .map_err(|e| format!("{shown}: not a text file: byte {} is not UTF-8", e.utf8_error().valid_up_to()))
}

/// Makes a folder, and those above it; one that is there must be empty.
///
/// # Errors
/// One line.
pub(crate) fn create_folder(path: &Path) -> Result<(), String> {
    let shown = path.display();
    fs::create_dir_all(path).map_err(|e| format!("{shown}: cannot be made: {e}"))?;
    let mut inside = fs::read_dir(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
    if inside.next().is_some() { Err(format!("{shown}: is not empty; nothing was written")) } else { Ok(()) }
}

/// Writes a file, and makes its folder.
///
/// # Errors
/// One line.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, text)).map_err(|e| format!("{}: cannot be written: {e}", path.display()))
}

/// The whole path of something that is there.
///
/// # Errors
/// One line.
pub(crate) fn whole_path(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The same of a file that may be compressed with gzip, as its first bytes tell.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_text_or_gz(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return read_text(path);
    }
    let mut text = String::new();
    GzDecoder::new(bytes.as_slice())
        .read_to_string(&mut text)
        .map_err(|e| format!("{shown}: damaged, or no text in it: {e}"))?;
    Ok(text)
}

/// How many huge pages khugepaged has made since the machine started; `None` where it does not say.
pub(crate) fn pages_collapsed() -> Option<u64> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_collapsed").ok()?;
    text.trim().parse().ok()
}

/// The release of the kernel this runs on.
///
/// # Errors
/// One line, where the system is no Linux.
pub(crate) fn kernel_release() -> Result<String, String> {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|release| release.trim().to_owned())
        .map_err(|e| format!("live runs need Linux: /proc/sys/kernel/osrelease cannot be read: {e}"))
}

/// The most memory this process has had, KiB, where the system tells.
pub(crate) fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Seconds of processor time this process has used, where the system tells.
pub(crate) fn cpu_seconds() -> Option<f64> {
    /// `sysconf(_SC_CLK_TCK)` on every Linux there is.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything; utime and stime are the 12th and 13th behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
