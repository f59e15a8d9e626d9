//! The stable text form: one line an event.

use crate::{Event, EventKind, LockMode, Observer, RunEnd};
use mm_types::TaskId;
use std::collections::BTreeMap;
use std::fmt;

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockMode::Exclusive => "W",
            LockMode::Shared => "R",
        })
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaskSpawned { child, name } => write!(f, "spawn {child} {name}"),
            Self::TaskExited => f.write_str("exit"),
            Self::SyncPoint { name } => write!(f, "@{name}"),
            Self::LockContended { lock, mode } => {
                write!(f, "contended {} {} {}:{mode}", lock.kind.word(), lock.class, lock.obj)
            }
            Self::LockAcquired { lock, mode, trylock } => {
                let how = if *trylock { "trylocked" } else { "locked" };
                write!(f, "{how} {} {} {}:{mode}", lock.kind.word(), lock.class, lock.obj)
            }
            Self::LockReleased { lock, mode } => {
                write!(f, "unlocked {} {} {}:{mode}", lock.kind.word(), lock.class, lock.obj)
            }
            Self::Wait { on, what } => write!(f, "waits {what} {on}"),
            Self::WaitDone { on } => write!(f, "woken {on}"),
            Self::MightSleep { what } => write!(f, "might_sleep {what}"),
            Self::NonBlockStart => f.write_str("non_block_start"),
            Self::NonBlockEnd => f.write_str("non_block_end"),
            Self::AtomicEnter { atomic, on } if *on == TaskId(0) => f.write_str(atomic.word()),
            Self::AtomicEnter { atomic, on } => write!(f, "{} on {on}", atomic.word()),
            Self::AtomicExit { atomic } => write!(f, "{} ends", atomic.word()),
            Self::Alloc { gfp, nr_pages, ok } => {
                write!(f, "alloc {nr_pages} {gfp}{}", if *ok { "" } else { " failed" })
            }
            Self::ReclaimStart { direct } => write!(f, "reclaim{}", if *direct { " direct" } else { "" }),
            Self::ReclaimEnd { freed } => write!(f, "reclaimed {freed}"),
            Self::ShrinkSlabStart { shrinker, objects, to_scan } => {
                write!(f, "shrink {shrinker} {to_scan} of {objects}")
            }
            Self::ShrinkSlabEnd { shrinker, calls, freed } => write!(f, "shrunk {shrinker} by {freed} in {calls}"),
            Self::OutOfMemory { victim: Some(mm), points } => write!(f, "oom kill {mm} {points} points"),
            Self::OutOfMemory { victim: None, .. } => f.write_str("oom kill nobody"),
            Self::MmCreated { mm, name } => write!(f, "mm {mm} {name}"),
            Self::MmExit { mm } => write!(f, "exit_mmap {mm}"),
            Self::ListReleased { mm } => write!(f, "list_released {mm}"),
            Self::CallEnter { mm, call, pages: Some(p) } => write!(f, "{call} {mm} {p}"),
            Self::CallEnter { mm, call, pages: None } => write!(f, "{call} {mm}"),
            Self::CallExit { error: None } => f.write_str("= 0"),
            Self::CallExit { error: Some(e) } => write!(f, "= -{e}"),
            Self::PteSet { mm, vpn, old, new } => write!(f, "pte {mm} {} {old} -> {new}", vpn.addr()),
            Self::PudSet { mm, base, old, new } => write!(f, "pud {mm} {} {old} -> {new}", base.addr()),
            Self::TlbFlush { mm, pages } => write!(f, "flush {mm} {pages}"),
            Self::TlbFlushDeferred { mm, vpn } => write!(f, "flush of {mm} {} deferred", vpn.addr()),
            Self::CpuAccess { mm, vpn, pfn, write, value } => {
                write!(f, "cpu {} {mm} {} pfn {pfn} {value:#x}", rw(*write), vpn.addr())
            }
            Self::FrameAlloc { pfn } => write!(f, "frame {pfn} allocated"),
            Self::FolioClean { pfn, done } => {
                write!(f, "frame {pfn} {}", if *done { "clean" } else { "to be cleaned" })
            }
            Self::YoungCheck { mm, pages } => write!(f, "young? {mm} {pages}"),
            Self::LazyFreed { pfn } => write!(f, "frame {pfn} freed lazily"),
            Self::FrameFree { pfn } => write!(f, "frame {pfn} freed"),
            Self::PagePin { pfn } => write!(f, "pin {pfn}"),
            Self::PageUnpin { pfn } => write!(f, "unpin {pfn}"),
            Self::SwapOut { pfn, slot } => write!(f, "swap out {pfn} -> slot {slot}"),
            Self::SwapIn { slot, pfn } => write!(f, "swap in slot {slot} -> {pfn}"),
            Self::Subscribed { sub, mm, pages, model, name, .. } => {
                write!(f, "subscribe {sub} {name} {mm} {pages} {}", model.word())
            }
            Self::SubscribeDeferred { sub, mm } => write!(f, "subscribes later {sub} {mm}"),
            Self::UnsubscribeStart { sub } => write!(f, "unsubscribe {sub}"),
            Self::Unsubscribed { sub } => write!(f, "unsubscribed {sub}"),
            Self::RangeStart { bracket, range } => write!(f, "range_start {} {range}", bracket.0),
            Self::RangeStarted { bracket, ok } => {
                write!(f, "range_started {}{}", bracket.0, if *ok { "" } else { " refused" })
            }
            Self::RangeEnd { bracket } => write!(f, "range_end {}", bracket.0),
            Self::BracketLeaked { bracket } => write!(f, "range_leaked {}", bracket.0),
            Self::CallbackEnter { sub, hook, pages, blockable, .. } => {
                write!(f, "call {sub} {hook} {pages}{}", if *blockable { "" } else { " nonblock" })
            }
            Self::CallbackExit { sub, hook, ok } => {
                write!(f, "return {sub} {hook}{}", if *ok { "" } else { " -EAGAIN" })
            }
            Self::ReadBegin { sub, seq } => write!(f, "read_begin {sub} = {seq}"),
            Self::ReadRetry { sub, seq, retry } => write!(f, "read_retry {sub} {seq} = {retry}"),
            Self::SetSeq { sub, seq } => write!(f, "set_seq {sub} {seq}"),
            Self::DeviceCreated { dev, name } => write!(f, "device d{} {name}", dev.0),
            Self::SpteSet { dev, mm, vpn, pfn, writable, .. } => {
                write!(f, "spte d{} {mm} {} -> {pfn}:{}", dev.0, vpn.addr(), if *writable { 'w' } else { 'r' })
            }
            Self::SpteClear { dev, mm, vpn, .. } => write!(f, "spte d{} {mm} {} cleared", dev.0, vpn.addr()),
            Self::DeviceAccess { dev, mm, vpn, pfn, write, value, .. } => {
                write!(f, "device d{} {} {mm} {} pfn {pfn} {value:#x}", dev.0, rw(*write), vpn.addr())
            }
        }
    }
}

const fn rw(write: bool) -> &'static str {
    if write { "writes" } else { "reads" }
}

/// An observer that keeps every event as a line: `step task name  event`.
#[derive(Debug, Default)]
pub struct TextLog {
    names: BTreeMap<mm_types::TaskId, mm_types::Name>,
    lines: Vec<String>,
}

impl TextLog {
    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl Observer for TextLog {
    fn event(&mut self, event: &Event) {
        if let EventKind::TaskSpawned { child, name } = event.kind {
            self.names.insert(child, name);
        }
        let name = self.names.get(&event.task).map_or("setup", |n| n.as_str());
        self.lines.push(format!("{:>6} {:<12} {}", event.step, name, event.kind));
    }

    fn end(&mut self, end: &RunEnd) {
        self.lines.push(format!("       run {}", end.word()));
    }
}
