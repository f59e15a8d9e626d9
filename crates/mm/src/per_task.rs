//! Storage whose keys do not depend on what other tasks do.

use mm_types::TaskId;
use std::collections::{BTreeMap, BTreeSet};

const ROWS: u64 = 256;
/// Keys of a task that begin and end together: its first so many, the next, and so on.
pub(crate) const GROUP: u64 = 512;
/// Items of a chunk. They are where they are: a row that grows copies nothing, and has at most so many to spare.
const CHUNK: usize = 32;

/// So many keys in a row of one task, in an order in which the first groups of all tasks come before the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Group {
    nth: u64,
    row: u64,
}

impl Group {
    /// Its keys, ascending.
    pub(crate) fn keys(self) -> impl Iterator<Item = u64> {
        (self.nth * GROUP + 1..=(self.nth + 1) * GROUP).map(move |n| n * ROWS + self.row)
    }

    fn of(key: u64) -> Group {
        Group { nth: (key / ROWS).saturating_sub(1) / GROUP, row: key % ROWS }
    }
}

/// An arena with one row, and one list of free keys (the task's *magazine*), for each task.
///
/// A task takes from its own row only, the last freed first, and what it frees it takes again itself, whoever took it
/// first. So which key a task gets depends on its own history alone, and tasks that allocate do not conflict.
/// Key 0 is never given out. Tasks 256 apart share a row.
///
/// A task *begins* a group when its magazine is empty: one of its own that was *ended*, else its next. Whoever looks at groups
/// meets all tasks: it is up to the caller to say so.
#[derive(Debug)]
pub(crate) struct PerTask<T> {
    rows: Vec<Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    /// Items ever given out.
    len: usize,
    magazine: Vec<u64>,
    /// Groups that were begun and ended again, none of whose keys is in a magazine.
    ended: BTreeSet<u64>,
}

impl<T: Default> Row<T> {
    fn get(&self, at: usize) -> Option<&T> {
        if at < self.len { Some(&self.chunks[at / CHUNK][at % CHUNK]) } else { None }
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < self.len { Some(&mut self.chunks[at / CHUNK][at % CHUNK]) } else { None }
    }

    /// The ended group that is begun when the magazine is empty; none while there is more in the last one.
    fn begins_again(&self) -> Option<u64> {
        let complete = (self.len as u64).is_multiple_of(GROUP);
        self.ended.first().copied().filter(|_| complete)
    }

    /// One item more; gives how many there are.
    fn push(&mut self) -> usize {
        let at = self.len;
        self.len += 1;
        if at == self.chunks.len() * CHUNK {
            self.chunks.push(Box::new(std::array::from_fn(|_| T::default())));
        } else {
            // There was another before the arena was cleared.
            self.chunks[at / CHUNK][at % CHUNK] = T::default();
        }
        self.len
    }
}

impl<T: Default> PerTask<T> {
    pub(crate) const fn new() -> PerTask<T> {
        PerTask { rows: Vec::new() }
    }

    /// A key that is not in use; its item is as it was left, or the default.
    pub(crate) fn take(&mut self, task: TaskId) -> u64 {
        let index = u64::from(task.0) % ROWS;
        let row = self.row(index);
        if row.magazine.is_empty()
            && let Some(nth) = row.begins_again()
        {
            row.ended.remove(&nth);
            row.magazine.extend(Group { nth, row: index }.keys());
            row.magazine.reverse();
        }
        if let Some(key) = row.magazine.pop() {
            return key;
        }
        row.push() as u64 * ROWS + index
    }

    /// What [`PerTask::take`] would give.
    pub(crate) fn next(&self, task: TaskId) -> u64 {
        let index = u64::from(task.0) % ROWS;
        let Some(row) = self.rows.get(index as usize) else { return ROWS + index };
        let ended = || row.begins_again().and_then(|nth| Group { nth, row: index }.keys().next());
        row.magazine.last().copied().or_else(ended).unwrap_or((row.len as u64 + 1) * ROWS + index)
    }

    /// Puts a key into the magazine of `task`.
    pub(crate) fn give(&mut self, task: TaskId, key: u64) {
        self.row(u64::from(task.0) % ROWS).magazine.push(key);
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        self.rows.get((key % ROWS) as usize)?.get(((key / ROWS).checked_sub(1)?) as usize)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.rows.get_mut((key % ROWS) as usize)?.get_mut(((key / ROWS).checked_sub(1)?) as usize)
    }

    /// Every item ever given out, row by row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.rows.iter().zip(0..).flat_map(|(row, index)| {
            let items = row.chunks.iter().flat_map(|chunk| chunk.iter()).take(row.len);
            items.zip(1..).map(move |(item, n): (_, u64)| (n * ROWS + index, item))
        })
    }

    /// Forgets everything; room is kept, but for what has to be dropped.
    pub(crate) fn clear(&mut self) {
        for row in &mut self.rows {
            if std::mem::needs_drop::<T>() {
                row.chunks.clear();
            }
            row.len = 0;
            row.magazine.clear();
            row.ended.clear();
        }
    }

    /// The groups that were begun and not ended, ascending.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let of_row = |(row, index): (&Row<T>, u64)| {
            let begun = (row.len as u64).div_ceil(GROUP);
            (0..begun)
                .filter(|nth| !row.ended.contains(nth))
                .map(move |nth| Group { nth, row: index })
                .collect::<Vec<_>>()
        };
        let mut groups: Vec<Group> = self.rows.iter().zip(0..).flat_map(of_row).collect();
        groups.sort_unstable();
        groups
    }

    /// How many those are.
    pub(crate) fn nr_groups(&self) -> u64 {
        self.rows.iter().map(|row| (row.len as u64).div_ceil(GROUP) - row.ended.len() as u64).sum()
    }

    /// Takes up to `max` keys of a group that are in no use, the lowest first, out of whatever magazines they are in.
    pub(crate) fn withdraw(&mut self, group: Group, max: usize) -> Vec<u64> {
        self.complete(group);
        let mut keys = Vec::new();
        for row in &self.rows {
            keys.extend(row.magazine.iter().copied().filter(|key| Group::of(*key) == group));
        }
        keys.sort_unstable();
        keys.truncate(max);
        for row in &mut self.rows {
            row.magazine.retain(|key| keys.binary_search(key).is_err());
        }
        keys
    }

    /// What of others' keys is in the magazine of `task` goes back to their own, to be taken last.
    pub(crate) fn drain(&mut self, task: TaskId) {
        let index = u64::from(task.0) % ROWS;
        let (own, others) =
            std::mem::take(&mut self.row(index).magazine).into_iter().partition(|key| key % ROWS == index);
        self.row(index).magazine = own;
        let mut others: Vec<u64> = others;
        others.sort_unstable_by_key(|key| (key % ROWS, std::cmp::Reverse(*key)));
        for keys in others.chunk_by(|a, b| a % ROWS == b % ROWS) {
            self.row(keys[0] % ROWS).magazine.splice(0..0, keys.iter().copied());
        }
    }

    /// Ends every group none of whose keys is in use.
    pub(crate) fn end_unused(&mut self) {
        let mut unused = BTreeMap::<Group, u64>::new();
        for key in self.rows.iter().flat_map(|row| &row.magazine) {
            *unused.entry(Group::of(*key)).or_default() += 1;
        }
        for (group, keys) in unused {
            let given = (self.row(group.row).len as u64 - group.nth * GROUP).min(GROUP);
            if keys == given {
                self.withdraw(group, GROUP as usize);
                self.row(group.row).ended.insert(group.nth);
            }
        }
    }

    /// All keys of a group count as given out once, those that never were as the last to be taken.
    fn complete(&mut self, group: Group) {
        let row = self.row(group.row);
        let mut rest = Vec::new();
        while (row.len as u64) < (group.nth + 1) * GROUP {
            rest.push(row.push() as u64 * ROWS + group.row);
        }
        rest.reverse();
        row.magazine.splice(0..0, rest);
    }

    fn row(&mut self, index: u64) -> &mut Row<T> {
        while self.rows.len() as u64 <= index {
            self.rows.push(Row { chunks: Vec::new(), len: 0, magazine: Vec::new(), ended: BTreeSet::new() });
        }
        &mut self.rows[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_task_depend_on_its_own_history() {
        let alone = {
            let mut a = PerTask::<u8>::new();
            (a.take(TaskId(1)), a.take(TaskId(1)))
        };
        let mut both = PerTask::<u8>::new();
        let first = both.take(TaskId(1));
        let other = both.take(TaskId(2));
        both.give(TaskId(2), other);
        assert_eq!((first, both.take(TaskId(1))), alone);
        assert_eq!(both.take(TaskId(2)), other, "the last freed is taken first");
        assert_eq!(both.iter().count(), 3);
    }

    #[test]
    fn items_are_as_they_were_left_until_the_arena_is_cleared() {
        let mut arena = PerTask::<u64>::new();
        let keys: Vec<u64> = (0..100).map(|_| arena.take(TaskId(3))).collect();
        for key in &keys {
            *arena.get_mut(*key).expect("in use") = *key;
        }
        assert!(arena.iter().all(|(key, item)| key == *item) && arena.iter().count() == 100);
        assert_eq!(arena.get(keys[99] + ROWS), None, "never given out");
        arena.clear();
        assert_eq!((arena.iter().count(), arena.get(keys[0])), (0, None));
        assert_eq!(arena.take(TaskId(3)), keys[0]);
        assert_eq!(arena.get(keys[0]), Some(&0));
    }

    #[test]
    fn what_would_be_taken_next_is_known_before() {
        let mut arena = PerTask::<u8>::new();
        for step in 0..2000_u64 {
            let next = arena.next(TaskId(1));
            assert_eq!(arena.take(TaskId(1)), next);
            if step % 3 == 0 {
                arena.give(TaskId(1), next);
            }
        }
    }

    #[test]
    fn a_group_ends_when_all_of_it_is_unused_and_begins_again_before_another_does() {
        let mut arena = PerTask::<u8>::new();
        let keys: Vec<u64> = (0..GROUP + 1).map(|_| arena.take(TaskId(1))).collect();
        let other = arena.take(TaskId(2));
        assert_eq!(arena.nr_groups(), 3);
        // Another task's freeing counts as much.
        keys[..GROUP as usize].iter().for_each(|key| arena.give(TaskId(2), *key));
        arena.end_unused();
        assert_eq!((arena.nr_groups(), arena.groups().len()), (2, 2));
        assert_ne!(arena.next(TaskId(2)), keys[GROUP as usize - 1], "no magazine has it any more");
        let second: Vec<u64> = arena.groups()[1].keys().collect();
        assert!(second.contains(&keys[GROUP as usize]), "the first of each task come before the second");
        // What is left of the second group is taken first.
        let taken: Vec<u64> = (1..GROUP).map(|_| arena.take(TaskId(1))).collect();
        assert!(taken.iter().all(|key| second.contains(key)));
        assert_eq!(arena.next(TaskId(1)), keys[0], "the one that was ended");
        assert_eq!(arena.take(TaskId(1)), keys[0]);
        assert_eq!(arena.nr_groups(), 3);
        assert!(![keys[0], other].contains(&arena.take(TaskId(2))));
    }

    #[test]
    fn keys_are_withdrawn_from_whoever_has_them_and_go_back_to_their_own_task() {
        let mut arena = PerTask::<u8>::new();
        let keys: Vec<u64> = (0..4).map(|_| arena.take(TaskId(1))).collect();
        arena.give(TaskId(1), keys[3]);
        arena.give(TaskId(2), keys[1]);
        let group = arena.groups()[0];
        assert_eq!(arena.withdraw(group, 2), [keys[1], keys[3]]);
        let next = arena.next(TaskId(1));
        assert!(next > keys[3], "those that were never given out follow");
        arena.give(TaskId(2), keys[1]);
        arena.drain(TaskId(2));
        assert_eq!(arena.next(TaskId(1)), next, "to be taken last");
        assert_eq!(arena.withdraw(group, GROUP as usize).len(), GROUP as usize - 3);
    }
}
