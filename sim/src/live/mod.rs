//! Random memory system calls on the kernel this runs on, recorded in the format of tests/data/mm.
//!
//! | step | file |
//! |---|---|
//! | a program: calls without results, from a seed | `program.rs` |
//! | the program in a process of its own, in an arena that is the only free memory it has | `host.rs`, `access.rs` |
//!
//! The process maps and touches nothing but its own memory. It is started as `shootdown mm-host`, with the program on
//! standard input, and writes the trace to standard output.

mod program;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod access;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod host;

pub(crate) use program::{Profile, program, without_results};

/// Plays the program on standard input and writes its trace.
///
/// # Errors
/// One line that says why not.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn play() -> Result<(), String> {
    host::play()
}

/// Elsewhere there is nothing to compare with.
///
/// # Errors
/// Always.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) fn play() -> Result<(), String> {
    Err("live runs need Linux on x86-64".to_owned())
}

/// Keeps the host's khugepaged from beginning to work in the middle of a trace, while this process lives.
pub(crate) fn occupy_khugepaged() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    host::occupy_khugepaged();
}
