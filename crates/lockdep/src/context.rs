//! Interrupt contexts: what a task is doing besides its task context, as state that callers keep up.
//!
//! The validator has no processor to ask. Each [`Held`](crate::Held) carries an [`IrqState`]; the caller tells of every
//! change ([`Run::hardirqs_off`](crate::Run::hardirqs_off), [`Run::softirq_enter`](crate::Run::softirq_enter), ...), and
//! what a lock is taken in becomes part of the chain's key as a [`Context`].

use serde::{Deserialize, Serialize};

use crate::acquire::{LockKey, Site};

/// The context a lock is taken in, as far as any rule looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Context(u8);

impl Context {
    const HARDIRQ: u8 = 1;
    const SOFTIRQ: u8 = 2;
    const THREADED: u8 = 4;
    const HARDIRQS_ON: u8 = 8;
    const SOFTIRQS_ON: u8 = 16;

    /// Task context with interrupts enabled.
    pub const TASK: Self = Self(Self::HARDIRQS_ON | Self::SOFTIRQS_ON);

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// In a hardirq handler.
    #[must_use]
    pub const fn hardirq(self) -> bool {
        self.0 & Self::HARDIRQ != 0
    }

    /// In a softirq handler (which a hardirq may have interrupted).
    #[must_use]
    pub const fn softirq(self) -> bool {
        self.0 & Self::SOFTIRQ != 0
    }

    /// The hardirq handler is one that runs in a thread under PREEMPT_RT.
    #[must_use]
    pub const fn threaded(self) -> bool {
        self.0 & Self::THREADED != 0
    }

    /// Hardirqs were enabled.
    #[must_use]
    pub const fn hardirqs_on(self) -> bool {
        self.0 & Self::HARDIRQS_ON != 0
    }

    /// Softirqs were enabled.
    #[must_use]
    pub const fn softirqs_on(self) -> bool {
        self.0 & Self::SOFTIRQS_ON != 0
    }

    pub(crate) const fn with_hardirqs(self, on: bool) -> Self {
        Self(self.0 & !Self::HARDIRQS_ON | if on { Self::HARDIRQS_ON } else { 0 })
    }

    /// The number `/proc/lockdep_chains` tells contexts by: 0 task, 1 softirq, 2 hardirq, 3 both.
    #[must_use]
    pub const fn irq_context(self) -> u8 {
        (self.hardirq() as u8) << 1 | self.softirq() as u8
    }

    /// What may be waited for in it at most, before any lock: 5 in a task, 3 in a softirq or a threaded handler, 2 in a
    /// hardirq. Linux: `task_wait_context()`.
    #[must_use]
    pub const fn wait_type(self) -> u8 {
        match (self.hardirq(), self.threaded(), self.softirq()) {
            (true, true, _) | (false, _, true) => 3,
            (true, false, _) => 2,
            (false, _, false) => 5,
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::TASK
    }
}

/// What is enabled and what is being handled, of one task (the kernel keeps half of it per CPU).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IrqState {
    /// Hardirqs are enabled (`lockdep_hardirqs_enabled()`).
    pub hardirqs_enabled: bool,
    /// Softirqs are enabled (`current->softirqs_enabled`).
    pub softirqs_enabled: bool,
    /// The handler running now would be threaded under PREEMPT_RT; cleared by the next outermost hardirq entry.
    pub hardirq_threaded: bool,
    /// Nesting depth of hardirq handlers.
    pub hardirq_depth: u16,
    /// Nesting depth of softirq handlers.
    pub softirq_depth: u16,
    /// How often bottom halves are disabled.
    pub bh_disabled: u16,
    /// Nesting depth of NMIs.
    pub nmi_depth: u16,
}

impl IrqState {
    /// A task with everything enabled.
    pub const TASK: Self = Self {
        hardirqs_enabled: true,
        softirqs_enabled: true,
        hardirq_threaded: false,
        hardirq_depth: 0,
        softirq_depth: 0,
        bh_disabled: 0,
        nmi_depth: 0,
    };

    /// What of it a lock's validation depends on.
    #[must_use]
    pub const fn context(self) -> Context {
        let mut bits = 0;
        if self.hardirq_depth > 0 {
            bits |= Context::HARDIRQ;
            if self.hardirq_threaded {
                bits |= Context::THREADED;
            }
        }
        if self.softirq_depth > 0 {
            bits |= Context::SOFTIRQ;
        }
        if self.hardirqs_enabled {
            bits |= Context::HARDIRQS_ON;
        }
        if self.softirqs_enabled {
            bits |= Context::SOFTIRQS_ON;
        }
        Context(bits)
    }

    /// Whether a hardirq or softirq is being handled, or bottom halves are disabled (`in_interrupt()`): then a queued
    /// rwlock admits readers past a waiting writer.
    #[must_use]
    pub const fn in_interrupt(self) -> bool {
        self.hardirq_depth > 0 || self.softirq_depth > 0 || self.bh_disabled > 0 || self.nmi_depth > 0
    }

    /// As [`LockKey`] wants it.
    pub(crate) const fn key_bits(self) -> u32 {
        let nmi = if self.nmi_depth > 0 { LockKey::NMI } else { 0 };
        (self.context().bits() as u32) << 24 | nmi
    }
}

impl Default for IrqState {
    fn default() -> Self {
        Self::TASK
    }
}

/// When interrupts were last switched: the "irq event stamp" lines of a report (`struct irqtrace_events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IrqTrace {
    pub(crate) events: u32,
    pub(crate) hardirq_enable: (u32, Option<Site>),
    pub(crate) hardirq_disable: (u32, Option<Site>),
    pub(crate) softirq_enable: (u32, Option<Site>),
    pub(crate) softirq_disable: (u32, Option<Site>),
}

impl IrqTrace {
    pub(crate) fn stamp(&mut self, site: Site) -> (u32, Option<Site>) {
        self.events = self.events.wrapping_add(1);
        (self.events, Some(site))
    }
}
