//! How the user called us: what a `replay:` line must begin with so that it works when pasted.

use std::path::Path;

/// The program as it was called, for a shell.
pub(crate) fn name() -> String {
    let called = std::env::args().next();
    called.map_or_else(|| "shootdown".to_owned(), |p| shell_word(&p))
}

/// `word` quoted for a POSIX shell where it needs to be.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The command that shows a run again.
pub(crate) fn replay_command(token: &str, file: &Path, settings: &[String]) -> String {
    let mut line = format!("{} replay {token} {}", name(), shell_word(&file.to_string_lossy()));
    for setting in settings {
        line.push_str(" --set ");
        line.push_str(&shell_word(setting));
    }
    line
}
