//! What makes a lock one to the validator: its class and its number.

use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

use lockdep::{ClassId, ClassSpec, WaitType};

use crate::thread;

/// Beside each lock. Its drop is the lock's: a lock that is held then is reported.
#[derive(Debug)]
pub(crate) struct Tag {
    name: Name,
    known: OnceLock<Known>,
}

/// As the documentation of the crate says.
const _: () = assert!(size_of::<Tag>() == 40);

#[derive(Clone, Copy, Debug)]
enum Name {
    /// Where the lock was made.
    Site(&'static Location<'static>),
    Given(&'static str),
}

/// Looked up when the lock is first taken, so that a lock can be a `static`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) class: ClassId,
    /// Numbered in the order of first taking: an address would be another one after a move.
    pub(crate) instance: u64,
}

static INSTANCES: AtomicU64 = AtomicU64::new(1);

impl Tag {
    #[track_caller]
    pub(crate) const fn here() -> Self {
        Self { name: Name::Site(Location::caller()), known: OnceLock::new() }
    }

    pub(crate) const fn named(name: &'static str) -> Self {
        Self { name: Name::Given(name), known: OnceLock::new() }
    }

    #[inline]
    pub(crate) fn known(&self) -> Known {
        match self.known.get() {
            Some(known) => *known,
            None => self.look_up(),
        }
    }

    #[cold]
    fn look_up(&self) -> Known {
        let class = self.class(0);
        *self.known.get_or_init(|| Known { class, instance: INSTANCES.fetch_add(1, Ordering::Relaxed) })
    }

    /// The same lock taken as another level of its class.
    pub(crate) fn nested(&self, subclass: u8) -> Known {
        Known { class: self.class(subclass), ..self.known() }
    }

    fn class(&self, subclass: u8) -> ClassId {
        let site;
        let name = match self.name {
            Name::Given(name) => name,
            Name::Site(location) => {
                site = location.to_string();
                &site
            }
        };
        thread::lockdep().class(&ClassSpec::new(name).subclass(subclass).wait(WaitType::Sleep))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        if let Some(known) = self.known.get() {
            thread::freed(known.instance);
        }
    }
}
