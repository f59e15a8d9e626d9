//! Weak memory: the classic litmus tests with the verdicts of the kernel and of x86, the sequence check of an invalidation
//! with its barriers and without, and random programs against two definitions of the models that share no code with them.

mod axioms;
mod barriers;
mod buffers;
mod litmus;
mod program;
mod random;
