//! Brackets: a start, its callbacks, its end.

use super::{Calls, Stamp};
use crate::table::Map;
use smallvec::SmallVec;
use std::ops::Deref;
use trace::{BracketId, Hook, NotifyRange};

/// What a finding tells of a bracket; outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: BracketId,
    pub(crate) range: NotifyRange,
    pub(crate) opened: Stamp,
    /// What its task was doing.
    pub(crate) calls: Calls,
}

/// A subscriber called by a start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Its row.
    pub(crate) sub: u32,
    pub(crate) hook: Hook,
    pub(crate) enter: Stamp,
    /// When it returned.
    pub(crate) exit: Option<Stamp>,
    /// Whether it agreed.
    pub(crate) ok: bool,
    /// Whether its end was called.
    pub(crate) ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BracketState {
    /// Its start runs.
    Opening,
    /// Its start returned.
    Started,
    /// Its start was refused.
    Refused,
    /// Its end was announced.
    Closed(Stamp),
}

#[derive(Clone, Debug)]
pub(crate) struct Bracket {
    facts: Facts,
    pub(crate) state: BracketState,
    pub(crate) told: SmallVec<[Told; 2]>,
    /// Announced from within reclaim.
    pub(crate) in_reclaim: bool,
}

impl Deref for Bracket {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl Bracket {
    pub(crate) fn new(facts: Facts, in_reclaim: bool) -> Bracket {
        Bracket { facts, state: BracketState::Opening, told: SmallVec::new(), in_reclaim }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn started(&mut self, _at: Stamp, ok: bool) {
        if self.state == BracketState::Opening {
            self.state = if ok { BracketState::Started } else { BracketState::Refused };
        }
    }

    /// The call of `sub` by its start, once it returned.
    pub(crate) fn told(&self, sub: u32) -> Option<&Told> {
        self.told.iter().find(|t| t.sub == sub && t.exit.is_some())
    }

    /// The list subscribers whose agreeing start was not followed by an end.
    pub(crate) fn missing_ends(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|t| t.hook == Hook::RangeStart && t.ok && !t.ended)
    }

    pub(crate) fn owes_ends(&self) -> bool {
        self.missing_ends().next().is_some()
    }
}

/// Brackets by id. Rows are reused.
#[derive(Debug, Default)]
pub(crate) struct Brackets {
    index: Map<BracketId, u32>,
    rows: Vec<Bracket>,
    free: Vec<u32>,
}

impl Brackets {
    /// The new row; `None` when the id is taken (a broken emitter, not a rule of this crate).
    pub(crate) fn insert(&mut self, bracket: Bracket) -> Option<u32> {
        if self.index.contains_key(&bracket.id) {
            return None;
        }
        let id = bracket.id;
        let i = match self.free.pop() {
            Some(i) => {
                self.rows[i as usize] = bracket;
                i
            }
            None => {
                self.rows.push(bracket);
                self.rows.len() as u32 - 1
            }
        };
        self.index.insert(id, i);
        Some(i)
    }

    pub(crate) fn free(&mut self, i: u32) {
        if self.index.remove(&self.rows[i as usize].id).is_some() {
            self.free.push(i);
        }
    }

    pub(crate) fn find(&self, id: BracketId) -> Option<u32> {
        self.index.get(&id).copied()
    }

    pub(crate) fn get(&self, id: BracketId) -> Option<&Bracket> {
        self.find(id).map(|i| self.row(i))
    }

    pub(crate) fn get_mut(&mut self, id: BracketId) -> Option<&mut Bracket> {
        self.find(id).map(|i| &mut self.rows[i as usize])
    }

    pub(crate) fn row(&self, i: u32) -> &Bracket {
        &self.rows[i as usize]
    }

    pub(crate) fn row_mut(&mut self, i: u32) -> &mut Bracket {
        &mut self.rows[i as usize]
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.rows.clear();
        self.free.clear();
    }
}
