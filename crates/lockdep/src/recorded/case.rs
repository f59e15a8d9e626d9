//! A recorded line in typed parts.

use core::fmt;

use crate::acquire::Acquire;
use crate::class::Class;

/// Index into [`Case::locks`].
pub type Object = usize;

/// A lock, map or acquire context of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockDecl {
    /// Its name.
    pub name: String,
    /// Index into [`Case::classes`] of its class (for subclass 0); none if the line does not tell.
    pub class: Option<usize>,
}

/// Which read section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RcuFlavour {
    /// `rcu_read_lock()`.
    Plain,
    /// `rcu_read_lock_bh()`.
    Bh,
    /// `rcu_read_lock_sched()`.
    Sched,
}

/// What an allocation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gfp {
    /// `__GFP_DIRECT_RECLAIM`.
    pub reclaim: bool,
    /// `__GFP_FS`.
    pub fs: bool,
}

/// What a wait/wound lock attempt returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WwRet {
    /// 0.
    Locked,
    /// `-EALREADY`: the context holds it; nothing was done.
    Already,
    /// `-EDEADLK`, or another error: it was announced, and taken back.
    Deadlock,
}

/// A field written behind the API's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poke {
    /// The whole context, from another.
    CopyFrom(Object),
    /// `mutex.ctx`.
    Ctx(Option<Object>),
    /// `ctx.stamp`.
    Stamp(i64),
    /// `ctx.stamp`, relative.
    AddStamp(i64),
    /// `ctx.acquired`.
    Acquired(u32),
    /// `ctx.done_acquire`.
    DoneAcquire(bool),
    /// `ctx.contending_lock`.
    ContendingLock(Option<Object>),
    /// `ctx.ww_class` or `mutex.ww_class`; false for null.
    WwClass(bool),
    /// A field that no check looks at.
    Ignored,
}

/// One recorded operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the recording's")]
pub enum Op {
    /// A lock or map is taken.
    Acquire { lock: Object, class: usize, how: Acquire, nest: Option<Object> },
    /// It is released.
    Release { lock: Object },
    /// A lock is announced as taken, and none is: `lock_map_acquire()`.
    MapAcquire { lock: Object, class: usize, how: Acquire },
    /// It is announced as released: `lock_map_release()`.
    MapRelease { lock: Object },
    /// It is initialised again.
    Init { lock: Object },
    /// A trylock that failed, or another call the validator hears nothing of.
    Nothing,
    /// `local_irq_disable()`.
    HardirqDisable,
    /// `local_irq_enable()`.
    HardirqEnable,
    /// `local_bh_disable()`.
    SoftirqDisable,
    /// `local_bh_enable()`.
    SoftirqEnable,
    /// A hardirq handler begins.
    HardirqEnter,
    /// It ends.
    HardirqExit,
    /// It is one that is threaded under PREEMPT_RT.
    HardirqThreaded,
    /// A softirq handler begins.
    SoftirqEnter,
    /// It ends.
    SoftirqExit,
    /// An RCU read section begins.
    RcuReadLock(RcuFlavour),
    /// It ends.
    RcuReadUnlock(RcuFlavour),
    /// `fs_reclaim_acquire()`.
    FsReclaimAcquire(Gfp),
    /// `fs_reclaim_release()`.
    FsReclaimRelease(Gfp),
    /// `might_alloc()`.
    MightAlloc(Gfp),
    /// `memalloc_nofs_save()`.
    NofsSave,
    /// `memalloc_nofs_restore()`.
    NofsRestore,
    /// `ww_acquire_init()`.
    WwAcquireInit { ctx: Object, stamp: i64 },
    /// `ww_acquire_done()`.
    WwAcquireDone { ctx: Object },
    /// `ww_acquire_fini()`.
    WwAcquireFini { ctx: Object },
    /// `ww_mutex_lock()`, or its slow form.
    WwLock { lock: Object, ctx: Option<Object>, ret: WwRet, slow: bool },
    /// `ww_mutex_trylock()` that succeeded.
    WwTrylock { lock: Object, ctx: Option<Object> },
    /// `ww_mutex_unlock()`.
    WwUnlock { lock: Object },
    /// A write behind the API's back.
    WwPoke { object: Object, poke: Poke },
}

/// A first report: its first line, and the operation that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// The first line, as the kernel prints it.
    pub title: String,
    /// Index of the operation.
    pub op: usize,
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}: {}", self.op, self.title)
    }
}

/// What a line says should come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the line is only to be judged.
    Unknown,
    /// No report to the end.
    Silent,
    /// This report first. Operations after it mean nothing.
    Report(Noticed),
}

impl Expect {
    /// Whether it came so; nothing if nothing was expected.
    #[must_use]
    pub fn agrees(&self, first: Option<&Noticed>) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Silent => Some(first.is_none()),
            Self::Report(expected) => Some(first == Some(expected)),
        }
    }
}

/// One recorded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// The classes its operations count in.
    pub classes: Vec<Class>,
    /// The instances.
    pub locks: Vec<LockDecl>,
    /// What is done, in order.
    pub ops: Vec<Op>,
    /// What a complete search says; on most lines that is what the kernel said.
    pub expect: Expect,
    /// What the kernel said, where its search is known to have missed something.
    pub kernel: Option<Expect>,
}
