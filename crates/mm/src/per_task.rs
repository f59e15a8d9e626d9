//! Storage whose keys do not depend on what other tasks do.

use mm_types::TaskId;

const ROWS: u64 = 256;

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
    items: Vec<T>,
    magazine: Vec<u64>,
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
        row.items.push(T::default());
        row.items.len() as u64 * ROWS + index
    }

    /// Puts a key into the magazine of `task`.
    pub(crate) fn give(&mut self, task: TaskId, key: u64) {
        self.row(u64::from(task.0) % ROWS).magazine.push(key);
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        self.rows.get((key % ROWS) as usize)?.items.get(((key / ROWS).checked_sub(1)?) as usize)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.rows.get_mut((key % ROWS) as usize)?.items.get_mut(((key / ROWS).checked_sub(1)?) as usize)
    }

    /// Every item ever given out, row by row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.rows
            .iter()
            .zip(0..)
            .flat_map(|(row, index)| row.items.iter().zip(1..).map(move |(item, n): (_, u64)| (n * ROWS + index, item)))
    }

    /// Forgets everything; room is kept.
    pub(crate) fn clear(&mut self) {
        for row in &mut self.rows {
            row.items.clear();
            row.magazine.clear();
        }
    }

    fn row(&mut self, index: u64) -> &mut Row<T> {
        while self.rows.len() as u64 <= index {
            self.rows.push(Row { items: Vec::new(), magazine: Vec::new() });
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
}
