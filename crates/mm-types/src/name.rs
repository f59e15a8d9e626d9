//! Interned names: cheap to copy and compare, hashed by content.

use hashbrown::HashMap;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use std::cell::RefCell;
use std::fmt;

/// An interned string. Copying is free; equality, order and hash are those of the text, never of its address.
///
/// Interned texts live as long as the process: intern names of things a scenario declares, not data of a run.
#[derive(Clone, Copy)]
pub struct Name(&'static Entry);

struct Entry {
    text: &'static str,
    hash: u64,
}

/// Looked up, never iterated.
type Names = HashMap<&'static str, Name, FxBuildHasher>;

static TABLE: Mutex<Names> = Mutex::new(HashMap::with_hasher(FxBuildHasher));

thread_local! {
    /// Those of the table that this thread has asked for: worlds are made anew with the same names, on every core.
    static KNOWN: RefCell<Names> = const { RefCell::new(HashMap::with_hasher(FxBuildHasher)) };
}

impl Name {
    /// The one name with this text.
    #[must_use]
    pub fn new(text: &str) -> Name {
        // A destructor of another thread-local may ask when this one is gone.
        let known = KNOWN.try_with(|known| known.borrow().get(text).copied());
        known.ok().flatten().unwrap_or_else(|| {
            let name = Name::intern(text);
            let _gone = KNOWN.try_with(|known| known.borrow_mut().insert(name.as_str(), name));
            name
        })
    }

    fn intern(text: &str) -> Name {
        let mut table = TABLE.lock();
        if let Some(name) = table.get(text) {
            return *name;
        }
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        let name = Name(Box::leak(Box::new(Entry { text, hash: fnv1a(text.as_bytes()) })));
        table.insert(text, name);
        name
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.text
    }

    /// A 64-bit hash of the text (FNV-1a), the same on every machine.
    #[must_use]
    pub fn stable_hash(self) -> u64 {
        self.0.hash
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        // Interned: the same text is the same entry.
        std::ptr::eq(self.0, other.0)
    }
}
impl Eq for Name {}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.0.text.cmp(other.0.text)
    }
}
impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        h.write_u64(self.0.hash);
    }
}
impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name::new(text)
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.text)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_name() {
        assert_eq!(Name::new("fs_reclaim"), Name::new("fs_reclaim"));
        assert_ne!(Name::new("fs_reclaim"), Name::new("mmap_lock"));
        assert!(Name::new("a") < Name::new("b"));
        assert_eq!(Name::new("a").stable_hash(), 0xaf63_dc4c_8601_ec8c);
    }
}
