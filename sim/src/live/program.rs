//! Random programs: which calls, with which arguments, from a seed alone.

use clap::ValueEnum;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// What a program is mostly about.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum Profile {
    /// Everything
    All,
    /// Mapping, moving and splitting
    Vmas,
    /// Faults, forks and advice
    Pages,
    /// Huge pages
    Huge,
}

/// Last page of the arena, and where placement begins.
const ARENA_PAGES: u64 = 16_384;
const ADVICE: [&str; 25] = [
    "DONTNEED",
    "FREE",
    "PAGEOUT",
    "COLD",
    "WILLNEED",
    "REMOVE",
    "POPULATE_READ",
    "POPULATE_WRITE",
    "GUARD_INSTALL",
    "GUARD_REMOVE",
    "HUGEPAGE",
    "NOHUGEPAGE",
    "COLLAPSE",
    "DONTNEED_LOCKED",
    "MERGEABLE",
    "UNMERGEABLE",
    "NORMAL",
    "RANDOM",
    "SEQUENTIAL",
    "DONTFORK",
    "DOFORK",
    "WIPEONFORK",
    "KEEPONFORK",
    "DONTDUMP",
    "DODUMP",
];

const HUGE_ADVICE: [&str; 8] =
    ["HUGEPAGE", "HUGEPAGE", "COLLAPSE", "FREE", "DONTNEED", "PAGEOUT", "COLD", "GUARD_INSTALL"];

/// `ops` operations, each as a line of a trace without its results.
pub(crate) fn program(seed: u64, ops: u64, profile: Profile) -> Vec<Value> {
    let mut maker = Maker { rng: ChaCha8Rng::seed_from_u64(seed), profile, tag: 0, anchors: vec![0, 16, 512] };
    (0..ops).map(|_| inside(maker.operation())).collect()
}

/// The same call with its ranges cut at the end of the arena: what is outside must stay as it is.
fn inside(mut op: Value) -> Value {
    let cut = |op: &mut Value, at: &str, len: &str| {
        let page = |value: &Value| value.as_u64().or_else(|| value.get(0).and_then(Value::as_u64));
        if let (Some(first), Some(pages)) = (page(&op[at]), page(&op[len])) {
            let room = ARENA_PAGES - first - u64::from(op[at].is_array());
            if pages + u64::from(op[len].is_array()) > room {
                op[len] = json!(room);
            }
        }
    };
    for (at, len) in [("addr", "len"), ("addr", "old_len"), ("addr", "new_len"), ("new_addr", "new_len")] {
        cut(&mut op, at, len);
    }
    for acts in ["cacts", "pacts"] {
        if let Some(acts) = op.get_mut(acts).and_then(Value::as_array_mut) {
            acts.iter_mut().for_each(|act| cut(act, "addr", "len"));
        }
    }
    op
}

/// A line of a trace without what came of it.
pub(crate) fn without_results(mut op: Value) -> Value {
    if let Some(fields) = op.as_object_mut() {
        for result in ["i", "r", "e", "sig", "nf", "v", "pm", "ct", "vec", "c0", "c1", "c2", "p1"] {
            fields.remove(result);
        }
        for acts in ["cacts", "pacts"] {
            if let Some(acts) = fields.get_mut(acts).and_then(Value::as_array_mut) {
                acts.iter_mut().for_each(|act| *act = without_results(act.take()));
            }
        }
    }
    op
}

struct Maker {
    rng: ChaCha8Rng,
    profile: Profile,
    /// What was written last; each store has a value of its own.
    tag: u64,
    /// Pages where something was mapped: calls about something are mostly near one.
    anchors: Vec<u64>,
}

impl Maker {
    fn below(&mut self, n: u64) -> u64 {
        self.rng.random_range(0..n)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn operation(&mut self) -> Value {
        let weights: [u64; 14] = match self.profile {
            Profile::All => [24, 8, 10, 10, 16, 3, 2, 2, 3, 2, 5, 12, 9, 2],
            Profile::Vmas => [26, 12, 16, 16, 8, 4, 3, 3, 2, 1, 3, 3, 6, 0],
            Profile::Pages => [14, 5, 8, 6, 18, 2, 2, 1, 2, 3, 9, 18, 18, 2],
            Profile::Huge => [12, 6, 8, 9, 22, 2, 1, 1, 1, 1, 10, 12, 18, 0],
        };
        let mut at = self.below(weights.iter().sum());
        let mut kind = 0;
        while at >= weights[kind] {
            at -= weights[kind];
            kind += 1;
        }
        match kind {
            0 => self.mmap(),
            1 => json!({"op": "munmap", "addr": self.place(), "len": self.len()}),
            2 => json!({"op": "mprotect", "addr": self.place(), "len": self.len(), "prot": self.prot()}),
            3 => self.mremap(),
            4 => self.madvise(),
            5 => json!({"op": "mlock", "addr": self.place(), "len": self.len()}),
            6 => json!({"op": "munlock", "addr": self.place(), "len": self.len()}),
            7 => {
                json!({"op": "mlock2", "addr": self.place(), "len": self.len(), "flags": self.pick(&["ONFAULT", "ONFAULT", "0x0", "0x2"])})
            }
            8 => {
                json!({"op": "msync", "addr": self.place(), "len": self.len(), "flags": self.pick(&["SYNC", "ASYNC", "INVALIDATE", "INVALIDATE|SYNC", "0x0"])})
            }
            9 => json!({"op": "mincore", "addr": self.place(), "len": self.small_len()}),
            10 => self.fork(),
            11 => json!({"op": "read", "page": self.page()}),
            12 => self.write(),
            _ => self.file(),
        }
    }

    /// A page, mostly near something that may be mapped.
    fn page(&mut self) -> u64 {
        let which = self.below(self.anchors.len() as u64) as usize;
        let near = self.anchors[which];
        let page = match self.below(10) {
            0 => self.below(100),
            1 => ARENA_PAGES - 1 - self.below(40),
            2 => 512 * (1 + self.below(5)) + self.below(4),
            3..=5 => near + self.below(40),
            _ => near + self.below(6),
        };
        page.min(ARENA_PAGES - 1)
    }

    /// An address; now and then one that is no page's.
    fn place(&mut self) -> Value {
        let page = if self.one_in(5) { self.page().saturating_sub(self.below(4)) } else { self.page() };
        if self.one_in(40) { json!([page, 1 + self.below(4095)]) } else { json!(page) }
    }

    fn small_len(&mut self) -> Value {
        json!(1 + self.below(16))
    }

    fn len(&mut self) -> Value {
        match self.below(40) {
            0 => json!("0xfffffffffffff000"),
            1 => json!(0),
            2 => json!([self.below(8), 1 + self.below(4095)]),
            3..=5 => json!(1 + self.below(120)),
            6 | 7 => json!(512 * (1 + self.below(2))),
            8 => json!(400 + self.below(800)),
            _ => json!(1 + self.below(12)),
        }
    }

    fn prot(&mut self) -> String {
        let prot = self.pick(&["rw-", "rw-", "rw-", "r--", "r--", "---", "-w-", "r-x", "rwx"]);
        match self.below(60) {
            0 => format!("{prot}|GROWSDOWN"),
            1 => format!("{prot}|GROWSUP"),
            _ => prot.to_owned(),
        }
    }

    fn mmap(&mut self) -> Value {
        let huge = self.is_about_huge_pages();
        let (page, len) = if huge {
            (
                json!(512 * (1 + self.below(6))),
                json!(512 * (1 + self.below(2)) + if self.one_in(3) { self.below(300) } else { 0 }),
            )
        } else {
            (self.place(), self.len())
        };
        let anon = huge || !self.one_in(4);
        let kind = if huge {
            self.pick(&["PRIVATE", "PRIVATE", "PRIVATE", "PRIVATE", "PRIVATE", "DROPPABLE"])
        } else {
            self.pick(&["PRIVATE", "PRIVATE", "PRIVATE", "PRIVATE", "SHARED", "SHARED_VALIDATE", "DROPPABLE"])
        };
        let mut flags: Vec<&str> = Vec::new();
        match self.below(8) {
            0 => {}
            1 => flags.push("NOREPLACE"),
            _ => flags.push("FIXED"),
        }
        if anon {
            flags.push("ANON");
        }
        for (word, rarity) in
            [("POPULATE", 9), ("LOCKED", 22), ("NORESERVE", 14), ("GROWSDOWN", 18), ("STACK", 30), ("NONBLOCK", 40)]
        {
            if self.one_in(rarity) && !(huge && word != "POPULATE") {
                flags.push(word);
            }
        }
        let fd = if anon { "-" } else { self.pick(&["f0", "f0", "f1", "f0ro"]) };
        let addr = if self.one_in(7) && !flags.contains(&"FIXED") { json!("0x0") } else { page };
        if let Some(page) = addr.as_u64() {
            self.anchors.push(page);
            if self.anchors.len() > 12 {
                self.anchors.remove(0);
            }
        }
        let off = if anon { json!(0) } else { json!(self.below(30)) };
        let prot = if huge { "rw-".to_owned() } else { self.prot().split('|').next().unwrap_or("rw-").to_owned() };
        let flags = if flags.is_empty() { "0x0".to_owned() } else { flags.join("|") };
        json!({"op": "mmap", "addr": addr, "len": len, "prot": prot, "type": kind, "flags": flags, "fd": fd, "off": off})
    }

    fn mremap(&mut self) -> Value {
        let old_len = self.len();
        let new_len = if self.one_in(2) { old_len.clone() } else { self.len() };
        if self.profile == Profile::Huge && self.one_in(2) {
            let ((from, pages), (to, _)) = (self.huge_range(), self.huge_range());
            self.anchors.push(to);
            let flags = self.pick(&["MAYMOVE|FIXED", "MAYMOVE|FIXED", "MAYMOVE|FIXED|DONTUNMAP"]);
            return json!({"op": "mremap", "addr": from, "old_len": pages, "new_len": pages, "flags": flags, "new_addr": to});
        }
        let flags = self.pick(&[
            "0x0",
            "MAYMOVE",
            "MAYMOVE",
            "MAYMOVE|FIXED",
            "MAYMOVE|FIXED",
            "MAYMOVE|FIXED",
            "MAYMOVE|DONTUNMAP",
            "MAYMOVE|FIXED|DONTUNMAP",
        ]);
        let new_addr = if flags.contains("FIXED") || self.one_in(6) { self.place() } else { json!("0x0") };
        if let Some(page) = new_addr.as_u64() {
            self.anchors.push(page);
        }
        json!({"op": "mremap", "addr": self.place(), "old_len": old_len, "new_len": new_len, "flags": flags, "new_addr": new_addr})
    }

    fn madvise(&mut self) -> Value {
        if self.is_about_huge_pages() {
            let (addr, len) = self.huge_range();
            return json!({"op": "madvise", "addr": addr, "len": len, "advice": self.pick(&HUGE_ADVICE)});
        }
        json!({"op": "madvise", "addr": self.place(), "len": self.len(), "advice": self.pick(&ADVICE)})
    }

    fn is_about_huge_pages(&mut self) -> bool {
        match self.profile {
            Profile::Huge => self.one_in(2),
            Profile::All => self.one_in(12),
            Profile::Vmas | Profile::Pages => false,
        }
    }

    /// Where huge pages lie: one or two of them, or a part of one.
    fn huge_range(&mut self) -> (u64, u64) {
        let base = 512 * (1 + self.below(6));
        match self.below(4) {
            0 => (base + self.below(512), 1 + self.below(40)),
            1 => (base, 1 + self.below(511)),
            _ => (base, 512 * (1 + self.below(2))),
        }
    }

    fn write(&mut self) -> Value {
        self.tag += 1;
        json!({"op": "write", "page": self.page(), "tag": self.tag})
    }

    fn file(&mut self) -> Value {
        let fd = self.pick(&["f0", "f1"]);
        match self.below(3) {
            0 => {
                json!({"op": "ftruncate", "fd": fd, "size": if self.one_in(3) { json!([self.below(30), 4 + self.below(4000)]) } else { json!(self.below(70)) }})
            }
            1 => json!({"op": "punch_hole", "fd": fd, "off": self.below(24), "len": 1 + self.below(8)}),
            _ => {
                self.tag += 1;
                json!({"op": "fwrite", "fd": fd, "off": self.below(24), "tag": self.tag})
            }
        }
    }

    fn fork(&mut self) -> Value {
        let child = (0..self.below(4)).map(|_| self.act()).collect::<Vec<_>>();
        let parent = (0..self.below(3)).map(|_| self.act()).collect::<Vec<_>>();
        json!({"op": "fork", "cacts": child, "pacts": parent})
    }

    fn act(&mut self) -> Value {
        if self.one_in(4) && self.is_about_huge_pages() {
            let (addr, len) = self.huge_range();
            return json!({"op": "madvise", "addr": addr, "len": len, "advice": self.pick(&["FREE", "PAGEOUT", "DONTNEED", "COLLAPSE"])});
        }
        match self.below(8) {
            0 => json!({"op": "munmap", "addr": self.page(), "len": self.small_len()}),
            1 => {
                json!({"op": "mprotect", "addr": self.page(), "len": self.small_len(), "prot": self.pick(&["rw-", "r--", "---"])})
            }
            2 => {
                let advice = self.pick(&["DONTNEED", "DONTNEED", "FREE", "PAGEOUT", "GUARD_INSTALL", "GUARD_REMOVE"]);
                json!({"op": "madvise", "addr": self.page(), "len": self.small_len(), "advice": advice})
            }
            3 | 4 => json!({"op": "read", "page": self.page()}),
            _ => self.write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_depends_on_its_seed_alone() {
        let of = |seed| program(seed, 300, Profile::All);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(program(1, 100, Profile::Huge), program(1, 300, Profile::Huge)[..100]);
    }
}
