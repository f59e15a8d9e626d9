//! Random lines of the kind that was recorded, for the tests that judge them in two ways.

use lockdep::recorded::{Case, Expect, LockDecl, Op};
use lockdep::{Acquire, Class, ClassSpec, LockType, Read, WaitType};
use proptest::prelude::*;

/// What a random line is made of. The numbers choose among what makes sense there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Acquire { pick: usize, fresh: bool, how: Acquire, subclass: bool, nest: Option<usize> },
    Release { pick: usize, held: bool },
    Irq(usize),
}

fn how() -> impl Strategy<Value = Acquire> {
    let read = prop::sample::select(vec![Read::Exclusive, Read::Exclusive, Read::Shared, Read::Recursive]);
    (read, prop::bool::weighted(0.15), prop::bool::weighted(0.9)).prop_map(|(read, trylock, check)| Acquire {
        read,
        trylock,
        check,
    })
}

fn word() -> impl Strategy<Value = Word> {
    let nest = prop::option::weighted(0.08, 0..64_usize);
    let acquire = (0..64_usize, prop::bool::weighted(0.97), how(), prop::bool::weighted(0.1), nest);
    prop_oneof![
        10 => acquire.prop_map(|(pick, fresh, how, subclass, nest)| Word::Acquire { pick, fresh, how, subclass, nest }),
        8 => (0..64_usize, prop::bool::weighted(0.995)).prop_map(|(pick, held)| Word::Release { pick, held }),
        5 => (0..16_usize).prop_map(Word::Irq),
    ]
}

fn class() -> impl Strategy<Value = (WaitType, WaitType, LockType)> {
    prop_oneof![
        12 => Just((WaitType::Unchecked, WaitType::Unchecked, LockType::Normal)),
        1 => prop::sample::select(vec![
            (WaitType::Spin, WaitType::Unchecked, LockType::Normal),
            (WaitType::Config, WaitType::Unchecked, LockType::Normal),
            (WaitType::Sleep, WaitType::Unchecked, LockType::Normal),
            (WaitType::Config, WaitType::Free, LockType::Normal),
            (WaitType::Sleep, WaitType::Unchecked, LockType::WaitOverride),
        ]),
        1 => prop::sample::select(vec![WaitType::Config, WaitType::Config, WaitType::Unchecked])
            .prop_map(|inner| (inner, WaitType::Unchecked, LockType::PerCpu)),
    ]
}

/// Whether it is disciplined, its classes, its words.
pub(crate) type Drawn = (bool, Vec<(WaitType, WaitType, LockType)>, Vec<Word>);

pub(crate) fn line() -> impl Strategy<Value = Drawn> {
    (prop::bool::weighted(0.6), prop::collection::vec(class(), 2..7), prop::collection::vec(word(), 1..90))
}

/// Two instances of each class, and subclass 1 as a class of its own, as recorded lines have them.
pub(crate) fn case((disciplined, classes, words): &Drawn) -> Case {
    let n = classes.len();
    let spec = |subclass: u8| {
        classes.iter().enumerate().map(move |(i, (inner, outer, lock_type))| {
            let name = format!("c{i}");
            Class::from(&ClassSpec::new(&name).subclass(subclass).wait(*inner).wait_outer(*outer).lock_type(*lock_type))
        })
    };
    let locks = (0..2 * n).map(|i| LockDecl { name: format!("m{i}"), class: Some(i % n) }).collect();
    let mut made = Line { classes: n, disciplined: *disciplined, ..Line::default() };
    words.iter().for_each(|word| made.word(*word));
    Case {
        id: String::new(),
        classes: spec(0).chain(spec(1)).collect(),
        locks,
        ops: made.ops,
        expect: Expect::Unknown,
        kernel: None,
    }
}

/// A line in the making, and what a task that performs it would know of itself.
#[derive(Default)]
struct Line {
    classes: usize,
    ops: Vec<Op>,
    /// Locks held, with whether in a handler.
    held: Vec<(usize, usize)>,
    handlers: Vec<bool>,
    hardirqs_off: bool,
    bh: usize,
    disciplined: bool,
}

impl Line {
    fn word(&mut self, word: Word) {
        match word {
            Word::Acquire { pick, fresh, how, subclass, nest } => {
                let mut classes = (0..self.classes).map(|step| (pick + step) % self.classes);
                let Some(class) = classes.find(|class| !fresh || self.suits(*class)) else { return };
                let lock = class + self.classes * (pick / self.classes % 2);
                let nest = match nest {
                    Some(nest) if !self.held.is_empty() => Some(self.held[nest % self.held.len()].0),
                    Some(nest) if !fresh => Some(nest % (2 * self.classes)),
                    _ => None,
                };
                self.held.push((lock, self.handlers.len()));
                let class = class + if subclass { self.classes } else { 0 };
                self.ops.push(Op::Acquire { lock, class, how, nest });
            }
            Word::Release { pick, held } => {
                let inside: Vec<usize> =
                    (0..self.held.len()).filter(|at| self.held[*at].1 == self.handlers.len()).collect();
                let lock = match inside.get(pick % inside.len().max(1)).filter(|_| held) {
                    Some(at) => self.held.remove(*at).0,
                    None if held => return,
                    None => pick % (2 * self.classes),
                };
                self.ops.push(Op::Release { lock });
            }
            Word::Irq(pick) => self.irq(pick),
        }
    }

    /// Whether a class is one that a careful task would take now: none it holds; and in a line with discipline, those of
    /// handlers never with interrupts on, and only those in a handler.
    fn suits(&self, class: usize) -> bool {
        let held = self.held.iter().any(|(lock, _)| lock % self.classes == class);
        let of_handlers = class.is_multiple_of(2);
        let fits = match self.handlers.is_empty() {
            true => self.hardirqs_off || !of_handlers,
            false => of_handlers,
        };
        !held && (fits || !self.disciplined)
    }

    /// Enters handlers where they can come in, and leaves them holding nothing they took.
    fn irq(&mut self, pick: usize) {
        match (pick, self.handlers.last()) {
            (0..=3, None) if self.hardirqs_off => self.push(Op::HardirqEnable),
            (0..=3, None) => self.push(Op::HardirqDisable),
            (4..=5, None) if self.bh > 0 => self.push(Op::SoftirqEnable),
            (4..=5, None) => self.push(Op::SoftirqDisable),
            (6..=8, _) => {
                if !self.hardirqs_off {
                    self.push(Op::HardirqDisable);
                }
                self.push(Op::HardirqEnter);
                if pick == 8 {
                    self.push(Op::HardirqThreaded);
                }
            }
            (9..=10, None) => {
                self.push(Op::SoftirqDisable);
                if !self.hardirqs_off {
                    self.push(Op::HardirqDisable);
                }
                self.push(Op::SoftirqEnter);
            }
            (_, Some(hard)) => {
                let hard = *hard;
                while self.held.last().is_some_and(|(_, depth)| *depth == self.handlers.len()) {
                    let (lock, _) = self.held.pop().expect("one is held");
                    self.ops.push(Op::Release { lock });
                }
                self.push(if hard { Op::HardirqExit } else { Op::SoftirqExit });
                if self.handlers.is_empty() {
                    self.push(Op::HardirqEnable);
                    if !hard {
                        self.push(Op::SoftirqEnable);
                    }
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, op: Op) {
        match op {
            Op::HardirqDisable => self.hardirqs_off = true,
            Op::HardirqEnable => self.hardirqs_off = false,
            Op::SoftirqDisable => self.bh += 1,
            Op::SoftirqEnable => {
                self.bh -= 1;
                self.hardirqs_off = false;
            }
            Op::HardirqEnter => self.handlers.push(true),
            Op::SoftirqEnter => self.handlers.push(false),
            Op::HardirqExit | Op::SoftirqExit => {
                self.handlers.pop();
            }
            _ => {}
        }
        self.ops.push(op);
    }
}
