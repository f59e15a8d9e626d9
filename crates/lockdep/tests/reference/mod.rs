//! The kernel's rules written down again, as plainly as they can be: every question a search of all there is, nothing
//! remembered but what the kernel remembers. Shares no code with the validator, and is as slow as it looks.
//!
//! Judges the operations of recorded fuzz lines, up to the first report. Complete where the kernel's search is not.
//! Source: kernel/locking/lockdep.c, Linux 6.1.

use std::collections::{BTreeSet, VecDeque};

use lockdep::recorded::{Case, Noticed, Object, Op};
use lockdep::{LockType, Read};

/// Usage states as bits: per kind of interrupt (hard 0, soft 4) "in" W R, "on" W R; then used.
const IN: [u16; 2] = [0x01, 0x10];
const ON: [u16; 2] = [0x04, 0x40];
const ALL_IN: u16 = 0x33;
const ALL_ON: u16 = 0xcc;
const WRITERS: u16 = 0x55;

#[derive(Clone, Copy)]
struct Held {
    object: Object,
    class: usize,
    read: u8,
    trylock: bool,
    check: bool,
    nest: Option<Object>,
    /// In a hardirq, in a softirq.
    irq: (bool, bool),
    hardirqs_off: bool,
    references: u32,
}

/// A kind of dependency: the start is held shared, the end is taken recursively.
type Kind = (bool, bool);

/// See the module.
#[derive(Default)]
pub(crate) struct Reference<'c> {
    case: Option<&'c Case>,
    held: Vec<Held>,
    usage: Vec<u16>,
    used: Vec<bool>,
    /// In the order of their first kind.
    edges: Vec<(usize, usize, Vec<Kind>)>,
    chains: BTreeSet<Vec<(usize, u8)>>,
    hardirqs_off: bool,
    softirqs_off: bool,
    threaded: bool,
    hardirq: u32,
    softirq: u32,
    bh: u32,
}

type Judged = Result<(), &'static str>;

impl<'c> Reference<'c> {
    /// The first report of a line, and the operation that made it.
    pub(crate) fn play(case: &'c Case) -> Option<Noticed> {
        let mut own = Self { case: Some(case), ..Self::default() };
        own.usage = vec![0; case.classes.len()];
        own.used = vec![false; case.classes.len()];
        let mut judged = case.ops.iter().enumerate().map(|(at, op)| (at, own.op(*op)));
        judged.find_map(|(op, judged)| judged.err().map(|title| Noticed { title: title.to_owned(), op }))
    }

    fn op(&mut self, op: Op) -> Judged {
        match op {
            Op::Acquire { lock, class, how, nest } => {
                let read = match how.read {
                    Read::Exclusive => 0,
                    Read::Shared => 1,
                    Read::Recursive => 2,
                };
                let (trylock, check, hardirqs_off) = (how.trylock, how.check, self.hardirqs_off);
                let irq = self.irq();
                let lock = Held { object: lock, class, read, trylock, check, nest, irq, hardirqs_off, references: 0 };
                return self.acquire(lock);
            }
            Op::Release { lock } => return self.release(lock),
            Op::HardirqDisable => self.hardirqs_off = true,
            Op::HardirqEnable => return self.hardirqs_on(),
            Op::SoftirqDisable => {
                self.bh += 1;
                self.softirqs_off = true;
            }
            Op::SoftirqEnable => {
                self.hardirqs_off = true;
                self.bh = self.bh.saturating_sub(1);
                // With hardirqs off, nothing that is held is marked yet.
                self.softirqs_off &= self.bh > 0;
                return self.hardirqs_on();
            }
            Op::HardirqEnter => {
                self.threaded &= self.hardirq > 0;
                self.hardirq += 1;
            }
            Op::HardirqExit => self.hardirq = self.hardirq.saturating_sub(1),
            Op::HardirqThreaded => self.threaded = true,
            Op::SoftirqEnter => self.softirq += 1,
            Op::SoftirqExit => self.softirq = self.softirq.saturating_sub(1),
            other => panic!("{other:?} is no operation of a fuzz line"),
        }
        Ok(())
    }

    fn irq(&self) -> (bool, bool) {
        (self.hardirq > 0, self.softirq > 0)
    }

    /// `__lock_acquire()`
    fn acquire(&mut self, mut lock: Held) -> Judged {
        if let Some(top) = self.held.last_mut().filter(|top| top.class == lock.class && lock.nest.is_some()) {
            top.references = top.references.max(1) + lock.references.max(1);
            return Ok(());
        }
        lock.irq = self.irq();
        self.wait_context(&lock)?;
        self.mark_usage(&lock)?;
        if let Some(nest) = lock.nest {
            let held = self.held.iter().map(|held| self.is(held, nest)).find(|held| *held != Ok(false));
            if !held.unwrap_or(Ok(false))? {
                return Err("WARNING: Nested lock was not taken");
            }
        }
        let chain: Vec<(usize, u8)> = self.same_context(lock.irq).chain([&lock]).map(|l| (l.class, l.read)).collect();
        if lock.check && !lock.trylock && self.chains.insert(chain) {
            self.validate(&lock)?;
        }
        self.held.push(lock);
        Ok(())
    }

    /// The locks on top of the stack that were taken in this context, outermost first.
    fn same_context(&self, irq: (bool, bool)) -> impl Iterator<Item = &Held> {
        let above = self.held.iter().rev().take_while(|held| held.irq == irq).count();
        self.held[self.held.len() - above..].iter()
    }

    fn wait_context(&self, lock: &Held) -> Judged {
        let class = &self.case.expect("a line").classes[lock.class];
        let (inner, outer) = (class.wait_inner as u8, class.wait_outer as u8);
        if inner == 0 || lock.trylock {
            return Ok(());
        }
        let mut allowed = match (self.hardirq > 0, self.softirq > 0) {
            (true, _) if !self.threaded => 2,
            (false, false) => 5,
            _ => 3,
        };
        for held in self.same_context(lock.irq) {
            let class = &self.case.expect("a line").classes[held.class];
            match (class.wait_inner as u8, class.lock_type) {
                (0, _) => {}
                (inner, LockType::WaitOverride) => allowed = inner,
                (inner, _) => allowed = allowed.min(inner),
            }
        }
        if (if outer == 0 { inner } else { outer }) > allowed { Err("[ BUG: Invalid wait context ]") } else { Ok(()) }
    }

    fn mark_usage(&mut self, lock: &Held) -> Judged {
        let read = u16::from(lock.read != 0);
        let (in_hard, in_soft) = self.irq();
        if lock.check {
            for (kind, inside) in [(0, in_hard), (1, in_soft)] {
                if inside && !lock.trylock {
                    self.mark(lock, IN[kind] << read)?;
                }
            }
            if !lock.hardirqs_off {
                self.mark(lock, ON[0] << read)?;
                if !self.softirqs_off {
                    self.mark(lock, ON[1] << read)?;
                }
            }
        }
        self.used[lock.class] = true;
        Ok(())
    }

    /// `mark_lock()`
    fn mark(&mut self, lock: &Held, bit: u16) -> Judged {
        if self.usage[lock.class] & bit != 0 {
            return Ok(());
        }
        self.usage[lock.class] |= bit;
        let (is_on, is_read) = (bit & ALL_ON != 0, bit & WRITERS == 0);
        let writer = if is_read { bit >> 1 } else { bit };
        let opposite = if is_on { writer >> 2 } else { writer << 2 };
        let conflicting = if is_read { opposite } else { opposite | opposite << 1 };
        if self.usage[lock.class] & conflicting != 0 {
            return Err("WARNING: inconsistent lock state");
        }
        let weak = if is_on { lock.read != 0 } else { lock.read == 2 };
        let wanted = opposite | opposite << 1;
        match self.search(lock.class, weak, !is_on, true, |usage, _, _| usage & wanted != 0) {
            Some(_) => Err("WARNING: possible irq lock inversion dependency detected"),
            None => Ok(()),
        }
    }

    /// `mark_held_locks()` for both kinds, as far as they are enabled.
    fn hardirqs_on(&mut self) -> Judged {
        if !self.hardirqs_off {
            return Ok(());
        }
        if self.hardirq > 0 {
            return Err("DEBUG_LOCKS_WARN_ON(lockdep_hardirq_context())");
        }
        let kinds = if self.softirqs_off { 1 } else { 2 };
        for bit in ON.into_iter().take(kinds) {
            for lock in self.held.clone().iter().filter(|lock| lock.check) {
                self.mark(lock, bit << u16::from(lock.read != 0))?;
            }
        }
        self.hardirqs_off = false;
        Ok(())
    }

    /// `validate_chain()`
    fn validate(&mut self, next: &Held) -> Judged {
        let mut nested = false;
        for prev in &self.held {
            nested |= next.nest == Some(prev.object);
            if prev.class == next.class && !(next.read == 2 && prev.read != 0) {
                return if nested { Ok(()) } else { Err("WARNING: possible recursive locking detected") };
            }
        }
        for prev in self.same_context(next.irq).copied().collect::<Vec<_>>().iter().rev() {
            if prev.check {
                self.depend(prev, next)?;
                if !prev.trylock {
                    break;
                }
            }
        }
        Ok(())
    }

    /// `check_prev_add()`
    fn depend(&mut self, prev: &Held, next: &Held) -> Judged {
        let cycle = |_: u16, class: usize, weak: bool| class == prev.class && (prev.read == 0 || !weak);
        if self.search(next.class, next.read == 2, true, false, cycle).is_some() {
            return Err("WARNING: possible circular locking dependency detected");
        }
        self.irq_usage(prev, next)?;
        let kind = (prev.read != 0, next.read == 2);
        match self.edges.iter_mut().find(|edge| (edge.0, edge.1) == (prev.class, next.class)) {
            Some((_, _, kinds)) if kinds.contains(&kind) => {}
            Some((_, _, kinds)) => kinds.push(kind),
            None => self.edges.push((prev.class, next.class, vec![kind])),
        }
        Ok(())
    }

    /// `check_irq_usage()`
    fn irq_usage(&self, prev: &Held, next: &Held) -> Judged {
        let mut before = 0;
        self.search(prev.class, prev.read != 0, false, true, |usage, _, _| {
            before |= usage & ALL_IN;
            false
        });
        let opposed = |mask: u16| {
            let other = (mask & ALL_IN) << 2 | (mask & ALL_ON) >> 2;
            other | (other & WRITERS) << 1 | (other & !WRITERS) >> 1
        };
        let behind = |usage: u16, _: usize, _: bool| usage & opposed(before) != 0;
        let Some(last) = self.search(next.class, next.read == 2, true, true, behind) else { return Ok(()) };
        let wanted = opposed(self.usage[last] & ALL_ON);
        let ahead = |usage: u16, _: usize, _: bool| usage & wanted != 0;
        let Some(first) = self.search(prev.class, prev.read != 0, false, true, ahead) else { return Ok(()) };
        for bit in (0..8).map(|bit| 1_u16 << bit).filter(|bit| self.usage[first] & bit != 0) {
            let writer = if bit & WRITERS != 0 { bit } else { bit >> 1 };
            let other = if bit & ALL_ON != 0 { writer >> 2 } else { writer << 2 };
            if self.usage[last] & (other | other << 1) != 0 {
                return Err(match (bit & 0x0f != 0, bit & WRITERS != 0) {
                    (true, true) => "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
                    (true, false) => "WARNING: HARDIRQ-READ-safe -> HARDIRQ-READ-unsafe lock order detected",
                    (false, true) => "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
                    (false, false) => "WARNING: SOFTIRQ-READ-safe -> SOFTIRQ-READ-unsafe lock order detected",
                });
            }
        }
        Ok(())
    }

    /// The nearest class, over strong paths, that `found` accepts: breadth first over (class, weak), in the order of edges.
    /// `found` is given what counts of its usage states, the class, and whether it is reached weakly.
    fn search(
        &self,
        start: usize,
        weak: bool,
        forwards: bool,
        irq: bool,
        mut found: impl FnMut(u16, usize, bool) -> bool,
    ) -> Option<usize> {
        let (mut queue, mut seen) = (VecDeque::from([(start, weak)]), BTreeSet::new());
        while let Some((class, weak)) = queue.pop_front() {
            let kept = |class: &lockdep::Class| match class.lock_type {
                LockType::Normal => true,
                LockType::PerCpu => (class.wait_inner as u8) < 3,
                LockType::WaitOverride => false,
            };
            let skipped = irq && !kept(&self.case.expect("a line").classes[class]);
            if !seen.insert((class, weak)) || skipped {
                continue;
            }
            let counts = if weak { self.usage[class] & WRITERS } else { self.usage[class] };
            if found(counts, class, weak) {
                return Some(class);
            }
            for (from, to, kinds) in &self.edges {
                let (near, far) = if forwards { (*from, *to) } else { (*to, *from) };
                // Against the edges, start and end change their parts.
                let turned = kinds.iter().map(
                    |(shared, recursive)| {
                        if forwards { (*shared, *recursive) } else { (*recursive, *shared) }
                    },
                );
                let usable: Vec<bool> =
                    turned.filter(|(leaves, _)| !(weak && *leaves)).map(|(_, arrives)| arrives).collect();
                if near == class && !usable.is_empty() {
                    queue.push_back((far, usable.iter().all(|arrives| *arrives)));
                }
            }
        }
        None
    }

    /// `match_held_lock()`
    fn is(&self, held: &Held, object: Object) -> Result<bool, &'static str> {
        if held.object == object {
            return Ok(true);
        }
        let class = self.case.expect("a line").locks[object].class.filter(|class| self.used[*class]);
        match class {
            Some(_) if held.references > 0 && held.nest.is_none() => Err("DEBUG_LOCKS_WARN_ON(!hlock->nest_lock)"),
            Some(class) => Ok(held.references > 0 && class == held.class),
            None => Ok(false),
        }
    }

    /// `__lock_release()`
    fn release(&mut self, object: Object) -> Judged {
        let top = self.held.last().map(|held| held.irq);
        let mut at = None;
        for (depth, held) in self.held.iter().enumerate().rev().take_while(|(_, held)| Some(held.irq) == top) {
            if self.is(held, object)? {
                at = Some(depth);
                break;
            }
        }
        let Some(at) = at else { return Err("WARNING: bad unlock balance detected!") };
        if self.held[at].references > 1 {
            self.held[at].references -= 1;
            return Ok(());
        }
        let again = self.held.split_off(at);
        again[1..].iter().try_for_each(|lock| self.acquire(*lock))
    }
}
