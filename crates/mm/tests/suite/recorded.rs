//! Callbacks against those a running 6.12 made: hook, subscriber, range, event, blockable, how `mmap_lock` is held,
//! whether a page-table lock is, and the entries at that moment. Data: tests/data/notifier/mm_calls.json.

use crate::common::{ARENA, Callback, Context, Quiet, Reconstruction, World, addr, bytes, pages, register, run_length};
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking};
use mm::{MachineConfig, Mm};
use mm_types::{Name, PageRange, Prot, Vpn};
use mmu_notifier::{Hooks, MmHost, Subscriptions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::EventKind;

pub(crate) const RW: Prot = Prot::READ.union(Prot::WRITE);
const DATA: &str = include_str!("../../../../tests/data/notifier/mm_calls.json");

/// What a scenario does, in the steps of the recording; those it does before the first are the preparation.
pub(crate) type Script = fn(&Scenario);

pub(crate) struct Scenario {
    pub(crate) mm: Arc<Mm>,
    marks: std::cell::RefCell<Vec<&'static str>>,
}

impl Scenario {
    /// The next step begins.
    pub(crate) fn op(&self, name: &'static str) {
        self.marks.borrow_mut().push(name);
        ksync::current(|k| k.sync_point(Name::new("op")));
    }

    pub(crate) fn map(&self, start: u64, len: u64, prot: Prot, flags: MapFlags, file: Option<FileId>) {
        let backing = match file {
            Some(file) => MmapBacking::File { file, readable: true, writable: true },
            None => MmapBacking::None,
        };
        let anon = if file.is_none() { MapFlags::ANONYMOUS } else { MapFlags::empty() };
        let flags = flags | anon;
        let args = MmapArgs { addr: addr(start), len_bytes: bytes(len), prot, flags, backing, offset_bytes: 0 };
        self.mm.mmap(&args).expect("mapped");
    }

    pub(crate) fn map_private(&self, start: u64, len: u64, prot: Prot) {
        self.map(start, len, prot, MapFlags::PRIVATE | MapFlags::FIXED, None);
    }

    pub(crate) fn write(&self, start: u64, len: u64) {
        for vpn in pages(start, len).iter() {
            self.mm.write_page(vpn, 1).expect("written");
        }
    }

    /// The recordings' standard preparation: anonymous, written once.
    pub(crate) fn anon(&self, start: u64, len: u64) {
        self.map_private(start, len, RW);
        self.write(start, len);
    }

    fn munmap(&self, start: u64, len: u64) {
        self.mm.munmap(addr(start), bytes(len)).expect("unmapped");
    }

    fn mprotect(&self, start: u64, len: u64, prot: Prot) {
        self.mm.mprotect(addr(start), bytes(len), prot).expect("changed");
    }

    pub(crate) fn register(&self) {
        register(&self.mm, 1);
    }
}

const SCRIPTS: &[(&str, Script)] = &[
    ("munmap_whole", |s| {
        s.anon(0, 8);
        s.register();
        s.op("munmap");
        s.munmap(0, 8);
    }),
    ("munmap_partial", |s| {
        s.anon(0, 12);
        s.register();
        for (start, len) in [(4, 4), (0, 2), (10, 2)] {
            s.op("munmap");
            s.munmap(start, len);
        }
    }),
    ("munmap_holes", |s| {
        s.anon(0, 4);
        s.anon(8, 4);
        s.register();
        s.op("munmap");
        s.munmap(2, 8);
    }),
    ("munmap_holes_wide", |s| {
        s.anon(0, 2);
        s.anon(2048, 2);
        s.anon(1 << 19, 2);
        s.register();
        s.op("munmap");
        s.munmap(0, (1 << 19) + 2);
    }),
    ("munmap_nothing", |s| {
        s.register();
        s.op("munmap");
        s.munmap(0, 8);
    }),
    ("munmap_huge_batch", |s| {
        s.anon(0, 24000);
        s.register();
        s.op("munmap");
        s.munmap(0, 24000);
    }),
    ("map_fixed", |s| {
        s.anon(0, 8);
        s.register();
        s.op("mmap");
        s.map_private(0, 8, RW);
        s.write(0, 8);
        s.op("mmap");
        s.map_private(2, 2, Prot::READ);
        s.op("mmap");
        s.map_private(20, 4, RW);
    }),
    ("mprotect_touched", |s| {
        s.anon(0, 8);
        s.register();
        s.op("mprotect");
        s.mprotect(0, 8, Prot::READ);
        s.op("mprotect");
        s.mprotect(0, 8, RW);
        s.op("write");
        s.write(0, 8);
        for (start, len, prot) in [(0, 8, RW), (2, 3, Prot::READ), (0, 8, Prot::empty()), (0, 8, RW)] {
            s.op("mprotect");
            s.mprotect(start, len, prot);
        }
    }),
    ("mprotect_untouched", |s| {
        s.map_private(0, 8, RW);
        s.register();
        s.op("mprotect");
        s.mprotect(0, 8, Prot::READ);
        s.map_private(16, 8, RW);
        s.write(16, 1);
        s.op("mprotect");
        s.mprotect(18, 4, Prot::READ);
    }),
    ("mprotect_partpop", |s| {
        s.map_private(0, 4096, RW);
        s.write(600, 1);
        s.write(2100, 1);
        s.register();
        s.op("mprotect");
        s.mprotect(0, 4096, Prot::READ);
    }),
    ("mprotect_multi", |s| {
        s.anon(0, 4);
        s.map_private(4, 4, Prot::READ);
        s.mm.touch(pages(4, 4), false).expect("read");
        s.map(8, 4, RW, MapFlags::SHARED | MapFlags::FIXED, None);
        s.write(8, 4);
        s.register();
        s.op("mprotect");
        s.mprotect(0, 12, Prot::READ);
        s.op("mprotect");
        s.mprotect(0, 12, RW);
    }),
    ("mprotect_shared_file", |s| {
        let file = s.mm.machine().open_file("/ext2/mp", "01:00 12");
        s.map(0, 4, RW, MapFlags::SHARED | MapFlags::FIXED, Some(file));
        s.write(0, 4);
        s.register();
        s.op("mprotect");
        s.mprotect(0, 4, Prot::READ);
        s.op("mprotect");
        s.mprotect(0, 4, RW);
    }),
    ("exit_order", |s| {
        s.anon(0, 8);
        register(&s.mm, 1);
        register(&s.mm, 2);
        let host: &dyn MmHost = &*s.mm;
        for (name, start) in [("iv0", ARENA), ("iv1", Vpn(ARENA.0 + (1 << 18)))] {
            let sub = Arc::new(Quiet { name: Name::new(name), hooks: Hooks::empty() });
            let range = PageRange::with_len(start, 4).expect("not empty");
            Subscriptions::interval_insert(host, range, sub).expect("inserted");
        }
        s.op("munmap");
        s.munmap(0, 2);
        s.op("exit with all registered");
    }),
];

/// The callbacks of each step.
fn simulate(context: Context, script: Script) -> Vec<Vec<Callback>> {
    let world = World::new(MachineConfig { reclaim_by_choice: false, ..MachineConfig::default() });
    let mm = world.new_mm("victim");
    world.run(context, move || {
        let scenario = Scenario { mm: Arc::clone(&mm), marks: std::cell::RefCell::default() };
        script(&scenario);
        scenario.op("exit");
        mm.exit();
    });
    let mut steps: Vec<Vec<Callback>> = Vec::new();
    let mut reconstruction = Reconstruction::default();
    for event in world.events() {
        if matches!(event.kind, EventKind::SyncPoint { name } if name.as_str() == "op") {
            steps.push(Vec::new());
        }
        let callback = reconstruction.event(&event);
        if let (Some(step), Some(callback)) = (steps.last_mut(), callback) {
            step.push(callback);
        }
    }
    steps
}

fn recorded(op: &Value) -> Vec<Callback> {
    op["callbacks"].as_array().expect("callbacks").iter().map(recorded_callback).collect()
}

fn recorded_callback(c: &Value) -> Callback {
    let text = |v: &Value| match v {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let ev = c.get("ev").map(text);
    Callback {
        hook: text(&c["h"]),
        who: match c.get("iv") {
            Some(iv) => format!("iv{iv}"),
            None => format!("n{}", c["n"]),
        },
        pages: c.get("r").map(|r| (text(&r[0]), text(&r[1]))),
        blockable: ev.as_ref().map(|_| c.get("b").is_none_or(|b| b == 1)),
        event: ev,
        mmap: text(&c["mm"]),
        ptl: c["ptl"] == true,
        entries: c.get("p").map(|p| without_tables(&text(p))),
    }
}

/// The recordings tell an empty entry (`.`) from a missing table (`x`); events do not.
fn without_tables(entries: &str) -> String {
    let mut letters = Vec::new();
    let mut chars = entries.chars().peekable();
    while let Some(letter) = chars.next() {
        let mut n = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            n.push(digit);
        }
        let letter = if letter == 'x' { '.' } else { letter };
        letters.extend(std::iter::repeat_n(letter, n.parse().unwrap_or(1)));
    }
    run_length(letters)
}

/// Runs every script and compares with what was recorded under its name. Gives how many callbacks that were.
pub(crate) fn compare(context: Context, data: &str, scripts: &[(&str, Script)]) -> usize {
    let data: Vec<Value> = serde_json::from_str(data).expect("well-formed data");
    let data: BTreeMap<&str, &Value> = data.iter().map(|d| (d["name"].as_str().expect("a name"), d)).collect();
    assert_eq!(data.len(), scripts.len());
    let mut compared = 0;
    for (name, script) in scripts {
        let ops = data[name]["ops"].as_array().expect("ops");
        let steps = simulate(context, *script);
        assert_eq!(steps.len(), ops.len(), "{name}: steps");
        for (step, op) in steps.iter().zip(ops) {
            let expected = recorded(op);
            assert_eq!(step, &expected, "{name}, {}: ours, then the kernel's", op["op"]);
            compared += expected.len();
        }
    }
    compared
}

fn check(context: Context) {
    assert_eq!(compare(context, DATA, SCRIPTS), 95, "every recorded callback was compared");
}

#[test]
fn callbacks_in_setup_are_those_of_the_recorded_kernel() {
    check(Context::Setup);
}

#[test]
fn callbacks_in_a_task_are_those_of_the_recorded_kernel() {
    check(Context::Task);
}
