//! The pool of task stacks.

use crate::task::Slot;
use corosensei::stack::{DefaultStack, Stack};

const PAINT: u64 = 0x5741_5445_524d_4152;

/// Stacks that no task uses now, all of the same size, each with a place for the coroutine that will use it. They are
/// unmapped with the pool.
pub(crate) struct StackPool {
    free: Vec<(Box<Slot>, DefaultStack)>,
    size: usize,
    created: usize,
    paint: bool,
    high_water: usize,
}

impl StackPool {
    pub(crate) fn new(size: usize, paint: bool) -> StackPool {
        StackPool { free: Vec::new(), size, created: 0, paint, high_water: 0 }
    }

    /// A stack and an empty place, from the pool if it has one.
    pub(crate) fn take(&mut self) -> (Box<Slot>, DefaultStack) {
        let (slot, mut stack) = self.free.pop().unwrap_or_else(|| self.create());
        if self.paint {
            paint(&mut stack, self.size);
        }
        (slot, stack)
    }

    #[cold]
    fn create(&mut self) -> (Box<Slot>, DefaultStack) {
        self.created += 1;
        match DefaultStack::new(self.size) {
            Ok(stack) => (Box::new(None), stack),
            Err(error) => panic!("cannot map stack {} of {} bytes for a task: {error}", self.created, self.size),
        }
    }

    /// Takes back the stack and the place of a coroutine that has ended.
    pub(crate) fn put(&mut self, mut slot: Box<Slot>) {
        let stack = slot.take().expect("a task's slot is filled").into_stack();
        if self.paint {
            self.high_water = self.high_water.max(used(&stack, self.size));
        }
        self.free.push((slot, stack));
    }

    /// Stacks ever mapped.
    pub(crate) fn created(&self) -> usize {
        self.created
    }

    /// The most bytes that any task used.
    pub(crate) fn high_water(&self) -> usize {
        self.high_water
    }
}

/// The upper `size` bytes of a stack, as words. The mapping is at least `size` and a guard page long, and only the guard
/// page, at its low end, is not accessible.
fn words(stack: &DefaultStack, size: usize) -> (*mut u64, usize) {
    let count = size / size_of::<u64>();
    ((stack.base().get() - count * size_of::<u64>()) as *mut u64, count)
}

#[expect(unsafe_code, reason = "writes to the memory of a stack")]
fn paint(stack: &mut DefaultStack, size: usize) {
    let (low, count) = words(stack, size);
    // SAFETY: the words lie in the stack's own mapping above its guard page, are aligned (the mapping ends at a
    // page boundary), and no coroutine uses the stack, since we have `&mut` to it.
    unsafe { std::slice::from_raw_parts_mut(low, count) }.fill(PAINT);
}

#[expect(unsafe_code, reason = "reads the memory of a stack")]
fn used(stack: &DefaultStack, size: usize) -> usize {
    let (low, count) = words(stack, size);
    // SAFETY: as in `paint`; the memory is initialized, since `paint` filled it before the coroutine used it. Nothing
    // writes to it meanwhile: the coroutine has ended and the engine is single threaded.
    let words = unsafe { std::slice::from_raw_parts(low, count) };
    let untouched = words.iter().take_while(|&&word| word == PAINT).count();
    (count - untouched) * size_of::<u64>()
}
