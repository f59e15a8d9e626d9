//! MMU notifier subscriptions of one address space, hooks in lockdep maps
