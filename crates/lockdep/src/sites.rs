//! Places in four bytes: a graph remembers two for every dependency, and few different ones.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::acquire::Site;

/// The number of a place in one [`Sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SiteId(u32);

/// The places a run has seen, numbered in that order.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    all: Vec<Site>,
    /// By where location and frame lie in memory: only ever asked, never walked, so no address can show.
    index: HashMap<(usize, usize, usize), SiteId, FxBuildHasher>,
    /// The last two asked for: what is held and what is taken come in turns.
    last: [Option<(Site, SiteId)>; 2],
}

impl Sites {
    /// The number of a place.
    pub(crate) fn id(&mut self, site: Site) -> SiteId {
        let same = |known: &&(Site, SiteId)| {
            core::ptr::eq(known.0.location, site.location) && known.0.frame.map(address) == site.frame.map(address)
        };
        if let Some((_, id)) = self.last.iter().flatten().find(same) {
            return *id;
        }
        let (frame, len) = site.frame.map_or((0, 0), address);
        let key = (core::ptr::from_ref(site.location).addr(), frame, len);
        let next = SiteId(self.all.len() as u32);
        let id = *self.index.entry(key).or_insert(next);
        if id == next {
            self.all.push(site);
        }
        self.last = [Some((site, id)), self.last[0]];
        id
    }

    /// The place with a number.
    pub(crate) fn get(&self, id: SiteId) -> Site {
        self.all[id.0 as usize]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Site>() + self.index.capacity() * 40
    }
}

/// Where a frame's text lies, and how long it is.
fn address(frame: &'static str) -> (usize, usize) {
    (frame.as_ptr().addr(), frame.len())
}
