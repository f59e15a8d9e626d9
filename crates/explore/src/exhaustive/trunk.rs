//! The part of the tree that several explorations share, so that they can go on side by side.
//!
//! An [`Exhaustive`] walks one path at a time. To let others help it *sheds*: the steps from where it began down to the first
//! prefix with something left to be tried become [`Limb`]s here, and what is left there is handed out as explorations of their
//! own. An exploration changes no limb: a race whose reversal belongs to one is written down as [`Found`], and inserted
//! here between turns.
//!
//! The children of a limb have an order, as if they were explored one after the other: each sleeps in those that come later, and
//! what is found in one is covered if it begins with an earlier one. What is found in one and begins with a later one goes
//! to that one, although it may be in progress: a sequence that was found from a step puts everything that step keeps
//! asleep behind something that wakes it only at its end, and before its end whatever else begins like it has to be told.
//! So only the last step of a sequence is handed out; those before it become limbs too. At a last step nothing
//! sleeps any more that could keep anything from being found, so whatever begins with it is covered.
//!
//! Everything here depends on the order of the calls alone, never on which thread did what.

use super::block::Block;
use super::{Bounds, Exhaustive, preemptions};
use sched::Op;
use std::collections::VecDeque;

/// A sequence with which a limb's prefix is still to be continued.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Found {
    /// The prefix's length.
    pub(super) at: usize,
    pub(super) sequence: Vec<Link>,
    /// What comes directly after it: a step that ends the run.
    pub(super) then: Option<Block>,
}

/// A step of a sequence.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Link {
    pub(super) block: Block,
    /// Steps of the sequence that happen before it, by their place in it when it was found.
    pub(super) after: Vec<u32>,
    /// Its own place then.
    pub(super) place: u32,
}

impl Found {
    fn into_blocks(self) -> impl DoubleEndedIterator<Item = Block> {
        self.sequence.into_iter().map(|link| link.block).chain(self.then)
    }

    /// Whether it is equivalent to something that begins with `block`, if it is continued suitably.
    fn may_begin_with(&self, block: &Block) -> bool {
        if let Some(link) = self.sequence.iter().find(|link| link.block.task == block.task) {
            return block.is(link.block.task, &link.block.taken) && link.after.is_empty();
        }
        // A step that ends the run commutes with nothing, and has others before it.
        let accesses = |link: &Link| link.block.accesses().collect::<Vec<Op>>();
        let commutes = |link: &Link| !link.block.ends && block.commutes(accesses(link).into_iter());
        self.then.is_none() && self.sequence.iter().all(commutes)
    }

    /// Takes the first step of `task` out.
    fn without(&mut self, task: u32) {
        let Some(nth) = self.sequence.iter().position(|link| link.block.task == task) else { return };
        let gone = self.sequence.remove(nth).place;
        for link in &mut self.sequence {
            link.after.retain(|&place| place != gone);
        }
        if nth == self.sequence.len() {
            self.then = None;
        }
    }
}

/// A step that is to be tried, and what is to follow it.
#[derive(Debug)]
pub(super) struct Sprout {
    pub(super) block: Block,
    pub(super) children: Vec<Sprout>,
}

impl Sprout {
    fn chain(mut blocks: impl DoubleEndedIterator<Item = Block>) -> Vec<Sprout> {
        let last = blocks.next_back().map(|block| Sprout { block, children: Vec::new() });
        blocks.rfold(last.into_iter().collect(), |children, block| vec![Sprout { block, children }])
    }
}

impl Sprout {
    fn into_parts(mut self) -> (Block, Vec<Sprout>) {
        (self.block.clone(), std::mem::take(&mut self.children))
    }
}

impl Drop for Sprout {
    /// One after the other: a sequence may be as long as a run.
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.children);
        while let Some(mut sprout) = rest.pop() {
            rest.append(&mut sprout.children);
        }
    }
}

/// Adds a sequence to the children of a step, unless something that is to be run leads to it.
fn insert(mut children: &mut Vec<Sprout>, mut found: Found) {
    loop {
        if children.is_empty() || found.sequence.is_empty() {
            return;
        }
        let Some(child) = children.iter().position(|child| found.may_begin_with(&child.block)) else { break };
        found.without(children[child].block.task);
        children = &mut children[child].children;
    }
    children.extend(Sprout::chain(found.into_blocks()));
}

/// A prefix that explorations share.
#[derive(Debug, Default)]
struct Limb {
    /// The prefix that is one step shorter, and which of its children this is.
    parent: Option<(u32, usize)>,
    /// The prefix's length.
    depth: usize,
    /// The step that came last in it.
    step: Option<Block>,
    /// What is explored elsewhere, or was before there were children.
    sleep: Vec<Block>,
    /// How many other steps were explored after it before there were children.
    done: u32,
    /// In the order in which they count. Only added to.
    children: Vec<Child>,
}

/// A step with which a shared prefix is continued.
#[derive(Debug)]
struct Child {
    block: Block,
    state: State,
    /// Whether whatever begins with it is explored by whoever it was handed out to.
    whole: bool,
}

/// How much is explored of what was handed out, as far as can be told.
type Part = f64;

#[derive(Debug)]
enum State {
    /// To be handed out, with what is to follow.
    Todo(Vec<Sprout>),
    /// An exploration has it, and has done so much of it.
    Handed(Part),
    /// It is shared too.
    Limb(u32),
    /// Shared as well, and all of it is explored, as far as is known.
    Over(u32),
    /// Explored.
    Done,
    /// Left out for [`Bounds::preemptions`]: it covers nothing.
    LeftOut,
}

impl Child {
    fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_) | State::Done | State::LeftOut)
    }

    /// Whether what it begins is explored by somebody.
    fn covers(&self) -> bool {
        !matches!(self.state, State::LeftOut)
    }
}

/// Where an exploration began: a limb, and which child of it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Attached(Option<(u32, usize)>);

/// All shared prefixes.
#[derive(Debug, Default)]
pub(crate) struct Trunk {
    limbs: Vec<Limb>,
    free: Vec<u32>,
    /// Limbs that may have a child to be handed out.
    open: VecDeque<u32>,
    /// Sequences left out for [`Bounds::preemptions`].
    pub(crate) left_out: u64,
}

impl Trunk {
    /// Whether something waits to be handed out.
    pub(crate) fn has_more(&self) -> bool {
        self.open.iter().any(|&limb| self.limb(limb).next_todo().is_some())
    }

    fn limb(&self, limb: u32) -> &Limb {
        &self.limbs[limb as usize]
    }

    fn child(&mut self, (limb, child): (u32, usize)) -> &mut Child {
        &mut self.limbs[limb as usize].children[child]
    }

    /// What an exploration that began at `from` found to be tried at shared prefixes.
    pub(crate) fn take_found(&mut self, from: Attached, explorer: &mut Exhaustive) {
        for found in explorer.take_found() {
            let Some((limb, child)) = self.at_depth(from, found.at) else { continue };
            let Limb { sleep, children, .. } = self.limb(limb);
            let earlier = children[..child].iter().filter(|child| child.covers()).map(|child| &child.block);
            if !sleep.iter().chain(earlier).any(|block| found.may_begin_with(block)) {
                self.insert(limb, child + 1, found);
            }
        }
    }

    /// The shared prefix of this length on the way to `from`, and which of its children is.
    fn at_depth(&self, Attached(from): Attached, depth: usize) -> Option<(u32, usize)> {
        let mut at = from;
        while let Some((limb, _)) = at.filter(|&(limb, _)| self.limb(limb).depth > depth) {
            at = self.limb(limb).parent;
        }
        at
    }

    /// Adds a sequence to a prefix, unless one of its children from `first` on leads to it.
    fn insert(&mut self, limb: u32, first: usize, mut found: Found) {
        let (mut limb, mut first) = (limb, first);
        loop {
            let leads = |child: &Child| child.covers() && found.may_begin_with(&child.block);
            let Some(nth) = self.limb(limb).children[first..].iter().position(leads) else { break };
            let child = self.child((limb, first + nth));
            found.without(child.block.task);
            if child.whole || found.sequence.is_empty() {
                return;
            }
            match &mut child.state {
                State::Todo(children) => return insert(children, found),
                State::Limb(below) | State::Over(below) => (limb, first) = (*below, 0),
                State::Handed(_) | State::Done | State::LeftOut => return,
            }
        }
        if let Some((block, children)) = Sprout::chain(found.into_blocks()).pop().map(Sprout::into_parts) {
            let whole = children.is_empty();
            self.limbs[limb as usize].children.push(Child { block, state: State::Todo(children), whole });
            self.open.push_back(limb);
            self.is_not_over(limb);
        }
    }

    /// Something is left at a limb that may have been over.
    fn is_not_over(&mut self, limb: u32) {
        let mut at = self.limb(limb).parent;
        while let Some(place) = at {
            let child = self.child(place);
            match child.state {
                State::Over(limb) => child.state = State::Limb(limb),
                _ => return,
            }
            at = self.limb(place.0).parent;
        }
    }

    /// Lets `explorer` give away what is left at the shortest of its own prefixes that has anything left. Where it goes on.
    pub(crate) fn shed(&mut self, from: Attached, explorer: &mut Exhaustive) -> Attached {
        let Some(shed) = explorer.shed() else { return from };
        let mut at = from;
        for Cut { depth, step, sleep, done, current, todo } in shed {
            let current = Child { block: current, state: State::Handed(0.0), whole: true };
            let todo = todo.into_iter().map(|sprout| {
                let (block, children) = sprout.into_parts();
                let whole = children.is_empty();
                Child { block, state: State::Todo(children), whole }
            });
            let children: Vec<Child> = std::iter::once(current).chain(todo).collect();
            let limb = self.add(Limb { parent: at.0, depth, step, sleep, done, children });
            if let Some(place) = at.0 {
                self.child(place).state = State::Limb(limb);
            }
            self.open.push_back(limb);
            at = Attached(Some((limb, 0)));
        }
        at
    }

    fn add(&mut self, limb: Limb) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.limbs[id as usize] = limb;
                id
            }
            None => {
                self.limbs.push(limb);
                self.limbs.len() as u32 - 1
            }
        }
    }

    /// The next exploration, and where it begins. None if nothing is left to be handed out.
    pub(crate) fn hand_out(&mut self, bounds: Bounds) -> Option<(Attached, Exhaustive)> {
        loop {
            let &id = self.open.front()?;
            let Some(nth) = self.limb(id).next_todo() else {
                self.open.pop_front();
                self.settle(id);
                continue;
            };
            let child = &mut self.limbs[id as usize].children[nth];
            let State::Todo(children) = &mut child.state else { continue };
            if !children.is_empty() {
                let children = std::mem::take(children);
                self.grow((id, nth), children);
                continue;
            }
            let block = child.block.clone();
            let prefix = self.prefix(id);
            if bounds.preemptions.is_some_and(|most| needs(&prefix, &block) > most) {
                self.left_out += 1;
                self.child((id, nth)).state = State::LeftOut;
                continue;
            }
            self.child((id, nth)).state = State::Handed(0.0);
            let sleep = self.limb(id).sleep_at(nth);
            return Some((Attached(Some((id, nth))), Exhaustive::branch(bounds, prefix, sleep, block)));
        }
    }

    /// Makes a limb of a child that others follow.
    fn grow(&mut self, place: (u32, usize), children: Vec<Sprout>) {
        let above = self.limb(place.0);
        let step = above.children[place.1].block.clone();
        let still = |block: &Block| block.task != step.task && block.commutes(step.accesses());
        let sleep = above.sleep_at(place.1).into_iter().filter(still).collect();
        let depth = above.depth + 1;
        let children = children.into_iter().map(|sprout| {
            let (block, children) = sprout.into_parts();
            let whole = children.is_empty();
            Child { block, state: State::Todo(children), whole }
        });
        let children = children.collect();
        let limb = self.add(Limb { parent: Some(place), depth, step: Some(step), sleep, done: 0, children });
        self.child(place).state = State::Limb(limb);
        self.open.push_front(limb);
    }

    /// The steps of a limb's prefix.
    fn prefix(&self, limb: u32) -> Vec<Block> {
        let mut steps = Vec::with_capacity(self.limb(limb).depth);
        let mut at = Some(limb);
        while let Some(limb) = at {
            let Limb { parent, step, .. } = self.limb(limb);
            steps.extend(step.clone());
            at = parent.map(|(above, _)| above);
        }
        steps.reverse();
        steps
    }

    /// An exploration that began there has done so much of what it has to.
    pub(crate) fn note(&mut self, Attached(from): Attached, part: f64) {
        if let Some(place) = from {
            self.child(place).state = State::Handed(part);
        }
    }

    /// How much of everything is explored, as far as can be told; `None` while nothing is shared.
    pub(crate) fn explored(&self) -> Option<f64> {
        // The first one ever is that of the empty prefix, and stays.
        (!self.limbs.is_empty()).then(|| self.explored_of(0))
    }

    /// No recursion: the tree is as deep as runs are long.
    fn explored_of(&self, limb: u32) -> f64 {
        let mut explored = 0.0;
        let mut below = vec![(limb, 1.0)];
        while let Some((limb, part)) = below.pop() {
            let Limb { done, children, .. } = self.limb(limb);
            let each = part / (f64::from(*done) + children.len() as f64);
            explored += each * f64::from(*done);
            for child in children {
                match child.state {
                    State::Todo(_) => {}
                    State::Handed(done) => explored += each * done,
                    State::Limb(limb) => below.push((limb, each)),
                    State::Over(_) | State::Done | State::LeftOut => explored += each,
                }
            }
        }
        explored
    }

    /// An exploration that began there is over.
    pub(crate) fn leave(&mut self, Attached(from): Attached) {
        if let Some(place) = from {
            self.child(place).state = State::Done;
            self.settle(place.0);
        }
    }

    /// Notes that a limb is over, if it is, and forgets what can no longer be told anything.
    fn settle(&mut self, limb: u32) {
        let mut at = Some(limb);
        while let Some(limb) = at {
            if !self.limb(limb).children.iter().all(Child::is_over) {
                break;
            }
            at = self.limb(limb).parent.map(|place| {
                let child = self.child(place);
                if matches!(child.state, State::Limb(_)) {
                    child.state = State::Over(limb);
                }
                place.0
            });
        }
        // Where the way up ended, and all that was kept only because something before it was not over.
        let mut top = limb;
        while let Some((above, _)) = self.limb(top).parent {
            top = above;
            if !self.limb(top).children.iter().all(Child::is_over) {
                break;
            }
        }
        self.prune(top);
    }

    /// Forgets the children that are over and that nothing can be told any more: those before them are over too, and nothing
    /// comes from outside.
    fn prune(&mut self, limb: u32) {
        if !self.is_closed(limb) {
            return;
        }
        for nth in 0..self.limb(limb).children.len() {
            match self.limb(limb).children[nth].state {
                State::Over(below) => {
                    self.forget(below);
                    self.child((limb, nth)).state = State::Done;
                }
                State::Done | State::LeftOut => {}
                // What is found in it may begin with a later one.
                _ => return,
            }
        }
    }

    /// Whether nothing that is found elsewhere can be told to a limb.
    fn is_closed(&self, limb: u32) -> bool {
        let mut at = self.limb(limb).parent;
        while let Some((above, nth)) = at {
            let children = &self.limb(above).children;
            if children[nth].whole {
                return true;
            }
            if !children[..nth].iter().all(Child::is_over) {
                return false;
            }
            at = self.limb(above).parent;
        }
        true
    }

    /// A limb and all below it.
    fn forget(&mut self, limb: u32) {
        let (mut gone, mut next) = (vec![limb], 0);
        while let Some(&limb) = gone.get(next) {
            for child in std::mem::take(&mut self.limbs[limb as usize]).children {
                if let State::Limb(below) | State::Over(below) = child.state {
                    gone.push(below);
                }
            }
            self.open.retain(|&open| open != limb);
            next += 1;
        }
        self.free.extend(gone);
    }
}

impl Limb {
    fn next_todo(&self) -> Option<usize> {
        self.children.iter().position(|child| matches!(child.state, State::Todo(_)))
    }

    /// What sleeps where child `nth` begins.
    fn sleep_at(&self, nth: usize) -> Vec<Block> {
        let earlier = self.children[..nth].iter().filter(|child| child.covers()).map(|child| &child.block);
        self.sleep.iter().chain(earlier).cloned().collect()
    }
}

/// The preemptions of a sequence.
fn needs(prefix: &[Block], last: &Block) -> u32 {
    let script: Vec<u32> = prefix.iter().chain([last]).map(|block| block.task).collect();
    preemptions(&script)
}

/// A step that became shared: what an exploration gives away of it.
pub(super) struct Cut {
    pub(super) depth: usize,
    pub(super) step: Option<Block>,
    pub(super) sleep: Vec<Block>,
    pub(super) done: u32,
    /// The step with which the exploration goes on.
    pub(super) current: Block,
    pub(super) todo: Vec<Sprout>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(task: u32) -> Block {
        Block { task, op: Op::LOCAL, more: Box::default(), taken: Box::default(), ends: false }
    }

    fn todo(children: Vec<Sprout>) -> Child {
        Child { block: block(0), state: State::Todo(children), whole: false }
    }

    /// A run may have as many steps as its bound says: nothing may recurse as deep.
    #[test]
    fn a_tree_may_be_as_deep_as_runs_are_long() {
        const DEEP: usize = 1_000_000;
        drop(Sprout::chain((0..DEEP).map(|_| block(0))));
        let mut trunk = Trunk::default();
        let mut parent = None;
        for depth in 0..DEEP {
            let children = vec![todo(Vec::new()), todo(Vec::new())];
            let limb = trunk.add(Limb { parent, depth, children, ..Limb::default() });
            if let Some(place) = parent {
                trunk.child(place).state = State::Limb(limb);
            }
            parent = Some((limb, 0));
        }
        trunk.child((0, 1)).state = State::Done;
        assert!((trunk.explored().expect("it is shared") - 0.5).abs() < 1e-9);
        trunk.forget(0);
        assert_eq!(trunk.free.len(), DEEP);
    }
}
