//! What a run did, counted from its events.

use crate::book::Book;
use crate::stale::Counts;
use mm_types::Name;
use smallvec::SmallVec;
use trace::{Event, EventKind, Hook, NotifyEvent};

/// Counts over one run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Events seen.
    pub events: u64,
    /// Brackets announced.
    pub brackets: u64,
    /// Of those, refused.
    pub brackets_refused: u64,
    /// Start and invalidate callbacks whose bracket was announced within reclaim, by the reclaiming task.
    pub reclaim_invalidations: u64,
    /// Changes of a page-table entry that took something away, inside a started bracket that told somebody.
    pub pages_revoked: u64,
    /// Device translations that became stale by those.
    pub translations_revoked: u64,
    /// Device translations there now that are stale. At quiescence a correct mirror has none; one that is left is no
    /// finding until it is used.
    pub latent_stale: u64,
    /// Device translations published.
    pub sptes_set: u64,
    /// Device accesses.
    pub device_accesses: u64,
    /// Of those, writes.
    pub device_writes: u64,
    /// Allocation requests.
    pub allocations: u64,
    /// Findings left out because one like it is there.
    pub suppressed: u64,
    callbacks: [u64; Stats::HOOKS.len()],
    brackets_by: [u64; Stats::REASONS.len()],
    invalidations_by: [u64; Stats::REASONS.len()],
    /// By name of subscriber: a bit for each reason, then one for each hook.
    heard: SmallVec<[(Name, u32); 2]>,
}

impl Stats {
    /// The callbacks that are counted, in the order of [`Stats::callbacks_by_hook`].
    pub const HOOKS: [Hook; 9] = [
        Hook::RangeStart,
        Hook::RangeEnd,
        Hook::Invalidate,
        Hook::Release,
        Hook::SecondaryTlb,
        Hook::ClearFlushYoung,
        Hook::ClearYoung,
        Hook::TestYoung,
        Hook::ChangePte,
    ];

    /// The reasons that are counted, in the order of [`Stats::invalidations_by_event`].
    pub const REASONS: [NotifyEvent; 8] = [
        NotifyEvent::Unmap,
        NotifyEvent::Clear,
        NotifyEvent::ProtectionVma,
        NotifyEvent::ProtectionPage,
        NotifyEvent::SoftDirty,
        NotifyEvent::Release,
        NotifyEvent::Migrate,
        NotifyEvent::Exclusive,
    ];

    /// Calls of one callback, over all subscribers.
    #[must_use]
    pub fn callbacks(&self, hook: Hook) -> u64 {
        self.callbacks[hook as usize]
    }

    /// Brackets announced for a reason.
    #[must_use]
    pub fn brackets_for(&self, reason: NotifyEvent) -> u64 {
        self.brackets_by[reason as usize]
    }

    /// Start and invalidate callbacks delivered for a reason, over all subscribers.
    #[must_use]
    pub fn invalidations(&self, reason: NotifyEvent) -> u64 {
        self.invalidations_by[reason as usize]
    }

    /// Whether a start or invalidate callback of a subscriber with this name was called for the reason.
    #[must_use]
    pub fn heard(&self, name: &str, reason: NotifyEvent) -> bool {
        self.heard.iter().any(|(who, what)| who.as_str() == name && what & of_reason(reason) != 0)
    }

    /// Whether this callback of a subscriber with this name was called.
    #[must_use]
    pub fn called(&self, name: &str, hook: Hook) -> bool {
        self.heard.iter().any(|(who, what)| who.as_str() == name && what & of_hook(hook) != 0)
    }

    /// Every callback that was called, with how often.
    pub fn callbacks_by_hook(&self) -> impl Iterator<Item = (Hook, u64)> {
        Stats::HOOKS.into_iter().map(|h| (h, self.callbacks(h))).filter(|(_, n)| *n > 0)
    }

    /// Every reason for which a start or invalidate callback was called, with how often.
    pub fn invalidations_by_event(&self) -> impl Iterator<Item = (NotifyEvent, u64)> {
        Stats::REASONS.into_iter().map(|r| (r, self.invalidations(r))).filter(|(_, n)| *n > 0)
    }

    fn note(&mut self, name: Name, what: u32) {
        match self.heard.iter_mut().find(|(who, _)| *who == name) {
            Some((_, all)) => *all |= what,
            None => self.heard.push((name, what)),
        }
    }

    pub(crate) fn copy(&mut self, counts: Counts) {
        self.pages_revoked = counts.pages_revoked;
        self.translations_revoked = counts.translations_revoked;
        self.latent_stale = counts.latent;
    }

    pub(crate) fn count(&mut self, book: &Book, e: &Event) {
        self.events += 1;
        match e.kind {
            EventKind::RangeStart { range, .. } => {
                self.brackets += 1;
                self.brackets_by[range.event as usize] += 1;
            }
            EventKind::RangeStarted { ok: false, .. } => self.brackets_refused += 1,
            EventKind::CallbackEnter { sub, hook, bracket, .. } => {
                self.callbacks[hook as usize] += 1;
                let bracket = bracket.and_then(|b| book.brackets.get(b));
                if let Some(sub) = book.subs.get(sub) {
                    let reason = bracket.filter(|_| matches!(hook, Hook::RangeStart | Hook::Invalidate));
                    self.note(sub.name, of_hook(hook) | reason.map_or(0, |b| of_reason(b.range.event)));
                }
                if let Some(b) = bracket.filter(|_| matches!(hook, Hook::RangeStart | Hook::Invalidate)) {
                    self.invalidations_by[b.range.event as usize] += 1;
                    self.reclaim_invalidations += u64::from(b.in_reclaim);
                }
            }
            EventKind::SpteSet { .. } => self.sptes_set += 1,
            EventKind::DeviceAccess { write, .. } => {
                self.device_accesses += 1;
                self.device_writes += u64::from(write);
            }
            EventKind::Alloc { .. } => self.allocations += 1,
            _ => {}
        }
    }
}

fn of_reason(reason: NotifyEvent) -> u32 {
    1 << reason as u32
}

fn of_hook(hook: Hook) -> u32 {
    1 << (Stats::REASONS.len() as u32 + hook as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_and_reason_has_the_slot_of_its_discriminant() {
        for (i, hook) in Stats::HOOKS.into_iter().enumerate() {
            assert_eq!(hook as usize, i);
        }
        for (i, reason) in Stats::REASONS.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
