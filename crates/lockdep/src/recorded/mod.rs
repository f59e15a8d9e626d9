//! Recorded lock operations, and what a kernel said of them: one JSON object a line.
//!
//! Two kinds of lines exist, told apart by their keys. A *self-test* line has `locks` (instance -> kind and class) and
//! operations at the level of the kernel's API (`lock`, `read_lock`, `ww_lock`, `fs_reclaim_acquire`, ...); a *fuzz* line
//! has `classes` (wait types, lock type) and the validator's own `acquire` and `release`. Both have the same interrupt
//! operations, and may say which report is expected at which operation. State starts empty with every line, and one task
//! does all of it.
//!
//! [`Case::parse`] makes typed operations of a line or says which field is wrong; [`Player::play`] performs them on a
//! [`Run`](crate::Run) and says what was reported first, and where; [`Case::expect`] is what should have been.
//! [`Stage`] performs those operations that are the validator's own: a caller with read sections, allocations and wait/wound
//! mutexes of its own plays the rest on those.

mod case;
mod parse;
mod player;
mod stage;

pub use case::{Case, Expect, Gfp, LockDecl, Noticed, Object, Op, Poke, RcuFlavour, WwRet};
pub use parse::BadLine;
pub use player::Player;
pub use stage::Stage;
