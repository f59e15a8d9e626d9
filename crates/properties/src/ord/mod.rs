//! ORD: the order of starts, changes of entries, ends and callbacks.

mod callback;
mod clear;
mod pair;

pub(crate) use callback::OrdCallback;
pub(crate) use clear::OrdClear;
pub(crate) use pair::OrdPair;
