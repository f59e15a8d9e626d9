//! `lockdep`: recorded lock operations and lock traces of running kernels, judged or drawn.

mod check;
mod explain;
mod graph;
mod input;
mod verdict;

use crate::Exit;
use crate::cli::LockdepCommand;

pub(crate) fn lockdep(command: &LockdepCommand) -> Exit {
    match command {
        LockdepCommand::Check(args) => check::check(args),
        LockdepCommand::Graph(args) => graph::graph(args),
    }
}
