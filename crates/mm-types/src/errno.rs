//! The error numbers the modelled system calls return.

use std::fmt;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $n:literal,)*) => {
        /// Why a modelled call failed. Values are Linux's on x86-64.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u16)]
        pub enum Errno { $($(#[$doc])* $name = $n,)* }

        impl Errno {
            /// The name, as `strace` prints it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Errno::$name => stringify!($name),)* }
            }

            /// The errno with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Errno> {
                match name { $(stringify!($name) => Some(Errno::$name),)* _ => None }
            }
        }
    };
}

errnos! {
    /// Operation not permitted.
    EPERM = 1,
    /// No such file or page.
    ENOENT = 2,
    /// Interrupted system call.
    EINTR = 4,
    /// Bad file descriptor.
    EBADF = 9,
    /// Try again; would block.
    EAGAIN = 11,
    /// Out of memory, or no range in the address space.
    ENOMEM = 12,
    /// Permission denied.
    EACCES = 13,
    /// Bad address.
    EFAULT = 14,
    /// Busy.
    EBUSY = 16,
    /// Already exists (`MAP_FIXED_NOREPLACE`).
    EEXIST = 17,
    /// No such device.
    ENODEV = 19,
    /// Invalid argument.
    EINVAL = 22,
    /// No space left.
    ENOSPC = 28,
    /// A lock was not waited for, since that could deadlock: let go of the others and start again.
    EDEADLK = 35,
    /// Value too large.
    EOVERFLOW = 75,
    /// Operation not supported.
    EOPNOTSUPP = 95,
    /// Done already: the lock is held under this very context.
    EALREADY = 114,
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Errno {}
