//! What wait/wound mutexes check about themselves, apart from lock order (`DEBUG_WW_MUTEXES`).
//!
//! A task that wants several locks of one class in any order takes them under an *acquire context*; when two tasks collide
//! the younger one is told to back off (`-EDEADLK`), must release all it has, and starts again with the lock it failed on.
//! The state that these rules are about is kept here; who waits for whom is the mutex's business, and lock order is the
//! validator's: to it, the context is a map acquired for its lifetime and the `nest_lock` of all locks taken under it.
//!
//! Every function returns the conditions that kernel code would warn about, in its order; the state changes all the same.
//! Source: `include/linux/ww_mutex.h`, `kernel/locking/ww_mutex.h`, Linux 6.1.

use smallvec::SmallVec;

/// The conditions found true, worded as `DEBUG_LOCKS_WARN_ON(...)`.
pub type Warnings = SmallVec<[&'static str; 1]>;

/// The checked part of a `struct ww_acquire_ctx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WwAcquireCtx {
    /// Its age: smaller is older.
    pub stamp: i64,
    /// How many mutexes are held under it.
    pub acquired: u32,
    /// `ww_acquire_done()` was called: it takes no more.
    pub done_acquire: bool,
    /// The mutex that `-EDEADLK` was about, until it is taken.
    pub contending_lock: Option<u64>,
    /// Its class, by any number; `None` stands for a null pointer.
    pub ww_class: Option<u32>,
}

/// The checked part of a `struct ww_mutex`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WwMutex {
    /// The context it is held under, by any number.
    pub ctx: Option<u64>,
    /// Its class.
    pub ww_class: Option<u32>,
}

fn when(warnings: &mut Warnings, condition: bool, words: &'static str) {
    if condition {
        warnings.push(words);
    }
}

impl WwAcquireCtx {
    /// `ww_acquire_init()`.
    #[must_use]
    pub fn init(stamp: i64, ww_class: u32) -> Self {
        Self { stamp, ww_class: Some(ww_class), ..Self::default() }
    }

    /// `ww_acquire_done()`.
    pub fn done(&mut self) -> Warnings {
        let mut warnings = Warnings::new();
        when(&mut warnings, self.done_acquire, "DEBUG_LOCKS_WARN_ON(ctx->done_acquire)");
        self.done_acquire = true;
        warnings
    }

    /// `ww_acquire_fini()`.
    pub fn fini(&mut self) -> Warnings {
        let mut warnings = Warnings::new();
        when(&mut warnings, self.acquired > 0, "DEBUG_LOCKS_WARN_ON(ctx->acquired)");
        warnings
    }

    /// `ww_mutex_lock_slow()`, before it locks.
    #[must_use]
    pub fn before_lock_slow(&self) -> Warnings {
        let mut warnings = Warnings::new();
        when(&mut warnings, self.contending_lock.is_none(), "DEBUG_LOCKS_WARN_ON(!ctx->contending_lock)");
        warnings
    }

    /// The lock attempt on `mutex` must back off (`__ww_mutex_kill()`). Nothing, if the context holds nothing.
    pub fn kill(&mut self, mutex: u64) -> Warnings {
        let mut warnings = Warnings::new();
        if self.acquired > 0 {
            let contends = self.contending_lock.is_some();
            when(&mut warnings, contends, "DEBUG_LOCKS_WARN_ON(ww_ctx->contending_lock)");
            self.contending_lock = Some(mutex);
        }
        warnings
    }

    /// `mutex`, with the number `id`, was locked under this context, with the number `ctx` (`ww_mutex_lock_acquired()`).
    pub fn lock_acquired(&mut self, ctx: u64, mutex: &mut WwMutex, id: u64) -> Warnings {
        let mut warnings = Warnings::new();
        when(&mut warnings, mutex.ctx.is_some(), "DEBUG_LOCKS_WARN_ON(ww->ctx)");
        when(&mut warnings, self.done_acquire, "DEBUG_LOCKS_WARN_ON(ww_ctx->done_acquire)");
        if let Some(contending) = self.contending_lock.take() {
            when(&mut warnings, contending != id, "DEBUG_LOCKS_WARN_ON(ww_ctx->contending_lock != ww)");
            when(&mut warnings, self.acquired > 0, "DEBUG_LOCKS_WARN_ON(ww_ctx->acquired > 0)");
        }
        let class = self.ww_class != mutex.ww_class;
        when(&mut warnings, class, "DEBUG_LOCKS_WARN_ON(ww_ctx->ww_class != ww->ww_class)");
        self.acquired = self.acquired.saturating_add(1);
        mutex.ctx = Some(ctx);
        warnings
    }
}

impl WwMutex {
    /// `ww_mutex_unlock()`, before the mutex is released; `ctx` is the context it is held under, if that is known.
    pub fn unlock(&mut self, ctx: Option<&mut WwAcquireCtx>) -> Warnings {
        let mut warnings = Warnings::new();
        if self.ctx.take().is_some()
            && let Some(ctx) = ctx
        {
            when(&mut warnings, ctx.acquired == 0, "DEBUG_LOCKS_WARN_ON(!lock->ctx->acquired)");
            ctx.acquired = ctx.acquired.saturating_sub(1);
        }
        warnings
    }
}
