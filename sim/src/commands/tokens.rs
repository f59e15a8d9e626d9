//! Tokens on the command line: in place, or in a file when they are long.

use crate::{files, out, program};
use harness::{Found, LONGEST_IN_LINE, Outcome, Token};
use std::path::{Path, PathBuf};

/// The token that an argument is, or that the file has which it names.
///
/// # Errors
/// One line that says what is wrong with it.
pub(super) fn read(argument: &str) -> Result<Token, String> {
    let path = Path::new(argument);
    if argument.starts_with("sd1-") || !path.is_file() {
        return argument.parse().map_err(|why| format!("{argument}: {why}"));
    }
    Token::from_file(&files::read_text(path)?).map_err(|why| format!("{argument}: {why}"))
}

/// Tells a finding the commands that show it again: its own run, and the run that proves it.
pub(super) fn name_replays(found: &mut Found, token: &Token, file: &Path, settings: &[String]) {
    found.replay = replay_command(token, file, settings);
    if let Some(proof) = &mut found.proof
        && let Outcome::Proven { token, .. } = &proof.outcome
    {
        proof.replay = replay_command(token, file, settings);
    }
}

/// The command that does a run again. A long token is put into a file in the current folder, named after the scenario and the
/// run; where that is not possible it stands in the line.
pub(super) fn replay_command(token: &Token, file: &Path, settings: &[String]) -> String {
    let text = token.to_string();
    if text.len() <= LONGEST_IN_LINE {
        return program::replay_command(&text, file, settings);
    }
    let stem = file.file_stem().map_or_else(|| "run".to_owned(), |s| s.to_string_lossy().into_owned());
    let path = PathBuf::from(format!("{stem}-{:016x}.schedule", token.hash));
    let comment = format!("A schedule of {}, for `shootdown replay`", file.display());
    match std::fs::write(&path, token.to_file(&comment)) {
        Ok(()) => program::replay_command(&program::shell_word(&path.to_string_lossy()), file, settings),
        Err(why) => {
            out::complain(&format!("warning: {} cannot be written ({why}): the token is in the line", path.display()));
            program::replay_command(&text, file, settings)
        }
    }
}
