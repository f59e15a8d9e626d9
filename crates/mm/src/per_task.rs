//! Storage whose keys do not depend on what other tasks do.

use mm_types::TaskId;

const ROWS: u64 = 256;
/// Items of a chunk. They are where they are: a row that grows copies nothing, and has at most so many to spare.
const CHUNK: usize = 32;

/// An arena with one row, and one list of free keys (the task's *magazine*), for each task.
///
/// A task takes from its own row only, the last freed first, and what it frees it takes again itself, whoever took it
/// first. So which key a task gets depends on its own history alone, and tasks that allocate do not conflict.
/// Key 0 is never given out. Tasks 256 apart share a row.
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
}

impl<T: Default> Row<T> {
    fn get(&self, at: usize) -> Option<&T> {
        if at < self.len { Some(&self.chunks[at / CHUNK][at % CHUNK]) } else { None }
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < self.len { Some(&mut self.chunks[at / CHUNK][at % CHUNK]) } else { None }
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
        if let Some(key) = row.magazine.pop() {
            return key;
        }
        row.push() as u64 * ROWS + index
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
        }
    }

    fn row(&mut self, index: u64) -> &mut Row<T> {
        while self.rows.len() as u64 <= index {
            self.rows.push(Row { chunks: Vec::new(), len: 0, magazine: Vec::new() });
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
}
