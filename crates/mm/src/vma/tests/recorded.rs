//! Recordings of Linux 6.18 (tests/data/mm/FORMAT.md): each trace is followed up to its first operation that alters VMAs in
//! a way that is not modelled here (moving, locking, advice, fork). After every operation result and VMAs are compared:
//! boundaries, access, offset, object, flags. How far that goes is asserted exactly.

use super::test_utils::World;
use crate::vma::{
    AnonMergeRule, FileId, MapFlags, MmapArgs, MmapBacking, Placement, Vma, VmaKind, VmaTree, munmap_range,
};
use flate2::read::GzDecoder;
use mm_types::{Errno, PAGE_SIZE, PageRange, Pgoff, Prot, TASK_SIZE, VirtAddr, VmFlags, Vpn};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;

const ARENA: u64 = 0x2000_0000_0000;
const STACK_PAGES: u64 = (8 << 20) / PAGE_SIZE;
const F0: FileId = FileId(0);
const F1: FileId = FileId(1);
const F0_READ_ONLY: FileId = FileId(2);
const FILL: VmaKind = VmaKind::File(FileId(3));

/// How far a recording was followed.
#[derive(Default, PartialEq, Eq, Debug)]
struct Judged {
    traces: usize,
    traces_to_the_end: usize,
    operations: usize,
    snapshots: usize,
}

fn follow(gz: &[u8]) -> Judged {
    let mut text = String::new();
    GzDecoder::new(gz).read_to_string(&mut text).expect("a gzip of text");
    let mut judged = Judged::default();
    let mut trace: Option<Trace> = None;
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("a JSON line");
        if let Some(name) = value["trace"].as_str() {
            judged.traces_to_the_end += usize::from(trace.is_some());
            judged.traces += 1;
            trace = Some(Trace::new(name, &value));
        } else if let Some(mut open) = trace.take()
            && let Some(followed) = open.operation(&value)
        {
            if let Followed::Judged { snapshot } = followed {
                judged.operations += 1;
                judged.snapshots += usize::from(snapshot);
            }
            trace = Some(open);
        }
    }
    judged.traces_to_the_end += usize::from(trace.is_some());
    judged
}

#[test]
fn the_scripted_subtleties_agree() {
    let judged = follow(include_bytes!("../../../../../tests/data/mm/cases.jsonl.gz"));
    assert_eq!(judged, Judged { traces: 53, traces_to_the_end: 15, operations: 486, snapshots: 220 });
}

#[test]
fn the_random_traces_agree() {
    let judged = follow(include_bytes!("../../../../../tests/data/mm/traces.jsonl.gz"));
    assert_eq!(judged, Judged { traces: 300, traces_to_the_end: 0, operations: 1569, snapshots: 1040 });
}

/// What became of an operation.
enum Followed {
    /// Result and VMAs agree; `snapshot` tells whether the VMAs were recorded anew.
    Judged { snapshot: bool },
    /// It is not about VMAs, and they stayed as recorded.
    PassedOver,
}

struct Trace {
    name: String,
    world: World,
    arena_end: u64,
    memlock_pages: u64,
    /// The VMAs last recorded.
    recorded: Value,
    /// Shared anonymous objects by first appearance.
    shm: BTreeMap<FileId, usize>,
}

impl Trace {
    fn new(name: &str, header: &Value) -> Trace {
        let arena_pages = header["arena_pages"].as_u64().expect("arena_pages");
        let outside = header["outside_vmas"].as_u64().expect("outside_vmas") as usize;
        // All outside the arena is filled; two VMAs stand for the many that did it.
        let limit = 65_530 - outside + 2;
        let mut world = World::new(VmaTree::new(limit, AnonMergeRule::EitherSide));
        let (start, end) = (ARENA / PAGE_SIZE, ARENA / PAGE_SIZE + arena_pages);
        for (from, to) in [(1, start), (end, TASK_SIZE / PAGE_SIZE)] {
            let range = PageRange::new(Vpn(from), Vpn(to)).expect("a filled range");
            world.tree.insert(range, VmFlags::SHARED | VmFlags::MAYSHARE, FILL, Pgoff(0), None);
        }
        world.placement = Placement {
            mmap_base: Vpn(end).addr(),
            min_addr: VirtAddr(0x1000),
            may_map_low: true,
            ..Placement::default()
        };
        Trace {
            name: name.to_owned(),
            world,
            arena_end: end,
            memlock_pages: header["memlock_pages"].as_u64().expect("memlock_pages"),
            recorded: Value::Array(Vec::new()),
            shm: BTreeMap::new(),
        }
    }

    /// Does an operation and compares; `None` when it is none of ours and may alter VMAs.
    fn operation(&mut self, line: &Value) -> Option<Followed> {
        if self.alters_no_vma(line)? {
            self.compare_vmas(line);
            return Some(Followed::PassedOver);
        }
        let got = match line["op"].as_str().expect("an operation") {
            "bulk_mmap" => self.bulk_mmap(line)?,
            "mmap" => self.mmap(line)?,
            "munmap" => munmap_range(bytes_at(&line["addr"]), bytes(&line["len"]))
                .and_then(|range| self.world.tree.remove(range))
                .map(|_| 0),
            "mprotect" => {
                let prot = prot(line["prot"].as_str()?)?;
                self.world.mprotect_bytes(bytes_at(&line["addr"]), bytes(&line["len"]), prot).map(|()| 0)
            }
            "read" => self.access(line, VmFlags::READ | VmFlags::WRITE | VmFlags::EXEC)?,
            "write" => self.access(line, VmFlags::WRITE)?,
            _ => return None,
        };
        let place = format!("{} op {}: {line}", self.name, line["i"]);
        match (&got, line["e"].as_str()) {
            (Err(error), Some(recorded)) => assert_eq!(error.name(), recorded, "{place}"),
            (Ok(at), None) => {
                if line["op"] == "mmap" {
                    assert_eq!(*at, bytes_at(&line["r"]).0, "{place}");
                }
            }
            _ => panic!("{place}: got {got:?}"),
        }
        self.compare_vmas(line);
        Some(Followed::Judged { snapshot: line.get("v").is_some() })
    }

    /// Whether an operation has no effect on VMAs: it is about pages or files, or it failed and nothing was recorded
    /// anew. `None` when it is not followed.
    fn alters_no_vma(&mut self, line: &Value) -> Option<bool> {
        let failed = line.get("e").is_some() && line.get("v").is_none();
        match line["op"].as_str()? {
            "mmap" | "munmap" | "mprotect" | "read" | "write" | "bulk_mmap" => Some(false),
            "mincore" | "msync" | "ftruncate" | "punch_hole" | "fwrite" => Some(true),
            "madvise" => match line["advice"].as_str().unwrap_or_default() {
                "DONTNEED" | "DONTNEED_LOCKED" | "FREE" | "PAGEOUT" | "COLD" | "WILLNEED" | "REMOVE" => Some(true),
                "POPULATE_READ" => Some(true),
                // Guards and huge pages are links to anonymous pages, even in a part that fails.
                "GUARD_INSTALL" | "COLLAPSE" | "POPULATE_WRITE" => None,
                _ => failed.then_some(true),
            },
            _ => failed.then_some(true),
        }
    }

    fn compare_vmas(&mut self, line: &Value) {
        let place = format!("{} op {}: {line}", self.name, line["i"]);
        if let Some(count) = line["map_count_in"].as_u64() {
            let arena = PageRange::new(Vpn(ARENA / PAGE_SIZE), Vpn(self.arena_end)).expect("an arena");
            assert_eq!(self.world.tree.iter_range(arena).count() as u64, count, "{place}");
            return;
        }
        if let Some(v) = line.get("v") {
            self.recorded = v.clone();
        }
        assert_eq!(Value::Array(self.vmas()), normal(&self.recorded), "{place}");
    }

    /// Maps single pages until one fails; gives how many.
    fn bulk_mmap(&mut self, line: &Value) -> Option<Result<u64, Errno>> {
        let (first, limit, step) = (line["first"].as_u64()?, line["limit"].as_u64()?, line["step"].as_u64()?);
        let mut made = 0;
        for page in (first..limit).step_by(step as usize) {
            let args = MmapArgs {
                addr: VirtAddr(ARENA + page * PAGE_SIZE),
                len_bytes: PAGE_SIZE,
                prot: Prot::READ | Prot::WRITE,
                flags: MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::ANONYMOUS,
                backing: MmapBacking::None,
                offset_bytes: 0,
            };
            match self.world.mmap_args(&args) {
                Ok(_) => made += 1,
                Err(error) => {
                    assert_eq!(Some(error.name()), line["stop_errno"].as_str(), "{}", self.name);
                    break;
                }
            }
        }
        assert_eq!(Some(made), line["r"].as_u64(), "{}: {line}", self.name);
        Some(Ok(made))
    }

    fn mmap(&mut self, line: &Value) -> Option<Result<u64, Errno>> {
        let mut flags = match line["type"].as_str()? {
            "PRIVATE" => MapFlags::PRIVATE,
            "SHARED" => MapFlags::SHARED,
            "SHARED_VALIDATE" => MapFlags::SHARED_VALIDATE,
            "NONE" => MapFlags::empty(),
            _ => return None,
        };
        for word in line["flags"].as_str()?.split('|') {
            flags |= match word {
                "FIXED" => MapFlags::FIXED,
                "ANON" => MapFlags::ANONYMOUS,
                "NOREPLACE" => MapFlags::FIXED_NOREPLACE,
                "GROWSDOWN" => MapFlags::GROWSDOWN,
                "LOCKED" => MapFlags::LOCKED,
                "NORESERVE" => MapFlags::NORESERVE,
                "POPULATE" => MapFlags::POPULATE,
                "NONBLOCK" => MapFlags::NONBLOCK,
                "STACK" => MapFlags::STACK,
                hex => MapFlags::from_bits_retain(u32::from_str_radix(hex.strip_prefix("0x")?, 16).ok()?),
            };
        }
        let file = |file, writable| MmapBacking::File { file, readable: true, writable };
        let backing = match line["fd"].as_str()? {
            "f0" => file(F0, true),
            "f1" => file(F1, true),
            "f0ro" => file(F0_READ_ONLY, false),
            _ => MmapBacking::None,
        };
        let args = MmapArgs {
            addr: bytes_at(&line["addr"]),
            len_bytes: bytes(&line["len"]),
            prot: prot(line["prot"].as_str()?)?,
            flags,
            backing,
            offset_bytes: bytes(&line["off"]),
        };
        if flags.contains(MapFlags::LOCKED) && self.locked() + args.len_bytes.div_ceil(PAGE_SIZE) > self.memlock_pages {
            // The limit is asked when the place is known, before the file is looked at.
            let plan = args.plan(&self.world.tree, &self.world.placement, VmFlags::empty(), || F0);
            if matches!(plan, Ok(_) | Err(Errno::EACCES)) {
                return Some(Err(Errno::EAGAIN));
            }
        }
        Some(self.world.mmap_args(&args).map(|range| range.start().addr().0))
    }

    fn locked(&self) -> u64 {
        let locked = self.world.tree.iter().filter(|v| v.flags().contains(VmFlags::LOCKED));
        locked.map(|v| v.range().nr_pages()).sum()
    }

    /// A read or a write of one page: grows a stack, and a write gives private memory its link.
    fn access(&mut self, line: &Value, needs: VmFlags) -> Option<Result<u64, Errno>> {
        let page = Vpn(ARENA / PAGE_SIZE + line["page"].as_u64()?);
        let place = format!("{} op {}", self.name, line["i"]);
        let signal = line["sig"].as_str();
        if self.world.tree.find(page).is_none() {
            let above = self.world.tree.find_at_or_above(page).map(Vma::start);
            if let Some(above) = above.filter(|_| self.world.tree.find_at_or_above(page).is_some_and(grows)) {
                self.world.prepare(above);
            }
            let grown = self.world.tree.expand_downwards(page, self.world.placement.min_vpn(), STACK_PAGES);
            if grown.is_err() {
                assert_eq!(signal, Some("SEGV_MAPERR"), "{place}");
                return Some(Ok(0));
            }
        }
        let vma = *self.world.tree.find(page).expect("mapped by now");
        if !vma.flags().intersects(needs) {
            assert_eq!(signal, Some("SEGV_ACCERR"), "{place}");
            return Some(Ok(0));
        }
        assert!(matches!(signal, None | Some("BUS_ADRERR")), "{place}: {signal:?}");
        if needs == VmFlags::WRITE && !vma.flags().contains(VmFlags::SHARED) {
            self.world.prepare(page);
        }
        Some(Ok(0))
    }

    /// The VMAs in the arena as they are recorded.
    fn vmas(&mut self) -> Vec<Value> {
        let start = Vpn(ARENA / PAGE_SIZE);
        let arena = PageRange::new(start, Vpn(self.arena_end)).expect("an arena");
        let shm = &mut self.shm;
        let vmas = self.world.tree.iter_range(arena).map(|vma| {
            let (offset, name) = match vma.kind() {
                VmaKind::File(F0 | F0_READ_ONLY) => (vma.pgoff().0, "f0".to_owned()),
                VmaKind::File(F1) => (vma.pgoff().0, "f1".to_owned()),
                VmaKind::File(id) => {
                    let next = shm.len();
                    (vma.pgoff().0, format!("shm{}", shm.entry(id).or_insert(next)))
                }
                VmaKind::Anon | VmaKind::Special(_) => (0, String::new()),
            };
            let shared = if vma.flags().contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
            let perms = format!("{}{shared}", vma.flags().prot());
            serde_json::json!([vma.start() - start, vma.end() - start, perms, offset, name, letters(vma.flags())])
        });
        vmas.collect()
    }
}

fn grows(vma: &Vma) -> bool {
    vma.flags().contains(VmFlags::GROWSDOWN)
}

const LETTERS: [(VmFlags, &str); 13] = [
    (VmFlags::READ, "rd"),
    (VmFlags::WRITE, "wr"),
    (VmFlags::EXEC, "ex"),
    (VmFlags::SHARED, "sh"),
    (VmFlags::MAYREAD, "mr"),
    (VmFlags::MAYWRITE, "mw"),
    (VmFlags::MAYEXEC, "me"),
    (VmFlags::MAYSHARE, "ms"),
    (VmFlags::GROWSDOWN, "gd"),
    (VmFlags::ACCOUNT, "ac"),
    (VmFlags::NORESERVE, "nr"),
    (VmFlags::LOCKED, "lo"),
    (VmFlags::NOHUGEPAGE, "nh"),
];

fn letters(flags: VmFlags) -> String {
    let words: Vec<&str> = LETTERS.iter().filter(|(bit, _)| flags.contains(*bit)).map(|(_, word)| *word).collect();
    words.join(" ")
}

/// The recorded VMAs with their flags in our order; letters that are none of ours stay and make a difference.
fn normal(recorded: &Value) -> Value {
    let mut recorded = recorded.clone();
    for vma in recorded.as_array_mut().expect("VMAs") {
        let mut words: Vec<String> = vma[5].as_str().expect("letters").split(' ').map(ToOwned::to_owned).collect();
        words.sort_by_key(|word| LETTERS.iter().position(|(_, w)| w == word).unwrap_or(LETTERS.len()));
        vma[5] = Value::String(words.join(" "));
    }
    recorded
}

/// A length: pages, `[pages, bytes]`, or bytes as a string.
fn bytes(value: &Value) -> u64 {
    match value {
        Value::String(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).expect("a hexadecimal number"),
        Value::Array(parts) => {
            parts[0].as_u64().expect("pages").wrapping_mul(PAGE_SIZE) + parts[1].as_u64().expect("bytes")
        }
        number => number.as_u64().expect("pages").wrapping_mul(PAGE_SIZE),
    }
}

/// An address: as [`bytes`], but pages count from the arena's start.
fn bytes_at(value: &Value) -> VirtAddr {
    match value {
        Value::String(_) => VirtAddr(bytes(value)),
        _ => VirtAddr(ARENA + bytes(value)),
    }
}

fn prot(text: &str) -> Option<Prot> {
    text.chars().try_fold(Prot::empty(), |prot, c| {
        Some(
            prot | match c {
                'r' => Prot::READ,
                'w' => Prot::WRITE,
                'x' => Prot::EXEC,
                '-' => Prot::empty(),
                _ => return None,
            },
        )
    })
}
