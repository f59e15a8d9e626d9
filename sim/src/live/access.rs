//! One load or store of eight bytes that may fault: a signal ends the access, not the process.
//!
//! The two instructions that may fault have names. A handler of `SIGSEGV` and `SIGBUS` that finds the process at one of them
//! lets it go on behind, and notes which signal it was; anywhere else the default action is taken.

#![expect(unsafe_code, reason = "an access that may fault, and the handler that survives it, have no safe form")]

use std::arch::global_asm;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

global_asm!(
    ".globl shootdown_probe_load",
    "shootdown_probe_load:",
    "mov rax, [rdi]",
    "mov [rsi], rax",
    "xor eax, eax",
    "ret",
    ".globl shootdown_probe_store",
    "shootdown_probe_store:",
    "mov [rdi], rsi",
    "xor eax, eax",
    "ret",
    ".globl shootdown_probe_failed",
    "shootdown_probe_failed:",
    "mov eax, 1",
    "ret",
);

// SAFETY: the three are defined above, with the C calling convention.
unsafe extern "C" {
    fn shootdown_probe_load(at: u64, to: *mut u64) -> i32;
    fn shootdown_probe_store(at: u64, value: u64) -> i32;
    fn shootdown_probe_failed() -> i32;
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a valid siginfo_t and ucontext_t, for as long as it runs.
    let (code, ip) = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        ((*info).si_code, &mut context.uc_mcontext.gregs[libc::REG_RIP as usize])
    };
    let at = *ip as usize;
    if at == shootdown_probe_load as *const () as usize || at == shootdown_probe_store as *const () as usize {
        SIGNAL.store(signal, Ordering::Relaxed);
        CODE.store(code, Ordering::Relaxed);
        *ip = shootdown_probe_failed as *const () as usize as i64;
    } else {
        // SAFETY: restoring the default action has no precondition; the instruction then faults again.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Installs the handler for this process and those it forks.
pub(super) fn install() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: all-zero is a valid sigaction, filled in before it is used; the handler touches atomics and its arguments.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// The name of the signal an access got, as traces have it.
fn signal_name() -> &'static str {
    match (SIGNAL.load(Ordering::Relaxed), CODE.load(Ordering::Relaxed)) {
        (libc::SIGBUS, _) => "BUS_ADRERR",
        // SEGV_ACCERR
        (_, 2) => "SEGV_ACCERR",
        _ => "SEGV_MAPERR",
    }
}

/// Loads eight bytes.
///
/// # Errors
/// The signal.
pub(super) fn load(at: u64) -> Result<u64, &'static str> {
    let mut value = 0;
    // SAFETY: the load may fault, which the handler ends; `value` is ours.
    let failed = unsafe { shootdown_probe_load(at, &raw mut value) };
    if failed == 0 { Ok(value) } else { Err(signal_name()) }
}

/// Stores eight bytes; only into the arena, where nothing of this program lies.
///
/// # Errors
/// The signal.
pub(super) fn store(at: u64, value: u64) -> Result<(), &'static str> {
    // SAFETY: the caller names an address in the arena; the store may fault, which the handler ends.
    let failed = unsafe { shootdown_probe_store(at, value) };
    if failed == 0 { Ok(()) } else { Err(signal_name()) }
}
