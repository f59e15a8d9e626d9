//! What pages hold.
//!
//! A page that was only ever written as a whole holds one value, the same in each of its words, and takes no memory for it: the
//! value is in its [`Frame`](crate::frames::Frame), its swap slot, or its file's list. A write of a part of it makes words of
//! the value, beside the frames ([`Words`]), which go where the page goes, and are gone when all are alike again.
//!
//! What an access is told to have seen, in events, is the page: [`Content::digest`], the value of one that holds one.

use std::collections::BTreeMap;

/// Words of a page.
pub(crate) const PAGE_WORDS: usize = 512;
/// Bytes of one.
pub(crate) const WORD_BYTES: u64 = 8;

/// What a page holds. Two are equal if their bytes are: pages whose words are alike have one form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Content {
    /// This, in each word.
    Same(u64),
    /// Words that are not all alike.
    Words(Box<[u64; PAGE_WORDS]>),
}

impl Content {
    pub(crate) const ZERO: Content = Content::Same(0);

    /// Word `at`, from 0.
    pub(crate) fn word(&self, at: usize) -> u64 {
        match self {
            Content::Same(value) => *value,
            Content::Words(words) => words[at],
        }
    }

    /// With another word `at`.
    pub(crate) fn with_word(self, at: usize, value: u64) -> Content {
        if self.word(at) == value {
            return self;
        }
        let mut words = self.into_words();
        words[at] = value;
        Content::from_words(words)
    }

    /// With zeros in the bytes `[from, to)`.
    pub(crate) fn with_zeros(self, from: u64, to: u64) -> Content {
        let mut words = self.into_words();
        for (word, at) in words.iter_mut().zip(0_u64..) {
            let first = at * WORD_BYTES;
            let zeroed = (0..WORD_BYTES).filter(|byte| (from..to).contains(&(first + byte)));
            *word &= !zeroed.fold(0, |mask, byte| mask | 0xff << (8 * byte));
        }
        Content::from_words(words)
    }

    fn into_words(self) -> Box<[u64; PAGE_WORDS]> {
        match self {
            Content::Same(value) => Box::new([value; PAGE_WORDS]),
            Content::Words(words) => words,
        }
    }

    fn from_words(words: Box<[u64; PAGE_WORDS]>) -> Content {
        let first = words[0];
        if words.iter().all(|word| *word == first) { Content::Same(first) } else { Content::Words(words) }
    }

    /// One number for all of it: the value, if there is one only.
    pub(crate) fn digest(&self) -> u64 {
        match self {
            Content::Same(value) => *value,
            // FNV-1a, of words.
            Content::Words(words) => {
                words.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| (hash ^ word).wrapping_mul(0x100_0000_01b3))
            }
        }
    }
}

/// The words of the pages of a store, frames or slots, that hold more than one value: by key.
#[derive(Debug, Default)]
pub(crate) struct Words(BTreeMap<u64, Box<[u64; PAGE_WORDS]>>);

impl Words {
    pub(crate) const fn new() -> Words {
        Words(BTreeMap::new())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What the page at `key` holds, whose value is `value` unless it has words.
    pub(crate) fn content(&self, key: u64, value: u64) -> Content {
        match self.0.get(&key) {
            Some(words) => Content::Words(words.clone()),
            None => Content::Same(value),
        }
    }

    /// Keeps the words of a page, if it has any. Gives the value to keep with it.
    #[must_use]
    pub(crate) fn keep(&mut self, key: u64, content: Content) -> u64 {
        match content {
            Content::Same(value) => {
                self.forget(key);
                value
            }
            Content::Words(words) => {
                let first = words[0];
                self.0.insert(key, words);
                first
            }
        }
    }

    /// The page is written as a whole, or gone.
    pub(crate) fn forget(&mut self, key: u64) {
        // Nearly always there are none.
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The page is at `to` from now on.
    pub(crate) fn relocate(&mut self, from: u64, to: u64) {
        if self.0.is_empty() {
            return;
        }
        self.0.remove(&to);
        if let Some(words) = self.0.remove(&from) {
            self.0.insert(to, words);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_words_only_while_they_differ() {
        let page = Content::Same(7).with_word(3, 9);
        assert_eq!((page.word(2), page.word(3), page.word(4)), (7, 9, 7));
        assert_ne!(page.digest(), 7);
        assert_eq!(page.clone().with_word(3, 7), Content::Same(7));
        assert_eq!(Content::ZERO.with_word(5, 0), Content::ZERO);
        assert_eq!(page.with_zeros(0, 4096), Content::ZERO);
    }

    #[test]
    fn bytes_become_zeros_within_words() {
        let page = Content::Same(u64::MAX).with_zeros(6, 17);
        assert_eq!((page.word(0), page.word(1), page.word(2)), (0xffff_ffff_ffff, 0, u64::MAX << 8));
        assert_eq!(page.word(3), u64::MAX);
    }

    #[test]
    fn words_go_with_their_page_and_leave_nothing() {
        let mut store = Words::new();
        let page = Content::Same(1).with_word(1, 2);
        let value = store.keep(5, page.clone());
        assert_eq!(store.content(5, value), page);
        store.relocate(5, 6);
        assert_eq!((store.content(5, 0), store.content(6, value)), (Content::ZERO, page));
        assert_eq!((store.keep(6, Content::Same(4)), store.len()), (4, 0));
    }
}
