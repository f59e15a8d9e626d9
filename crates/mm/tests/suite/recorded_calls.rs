//! System calls against recordings of Linux 6.18 (tests/data/mm/FORMAT.md): result and VMAs after each, in parent and
//! children, and what is read from private anonymous memory. A trace is followed up to its first operation that is not modelled; how far that goes is asserted exactly.

use crate::common::World;
use flate2::read::GzDecoder;
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking, MremapFlags, Placement, Vma, VmaKind};
use mm::{Advice, FaultError, MachineConfig, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Prot, TASK_SIZE, VirtAddr, VmFlags, Vpn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

const ARENA: u64 = 0x2000_0000_0000;

#[derive(Default, PartialEq, Eq, Debug)]
struct Judged {
    traces_to_the_end: usize,
    operations: usize,
    moves: usize,
    advices: usize,
    forks: usize,
}

fn follow(gz: &[u8]) -> Judged {
    let mut text = String::new();
    GzDecoder::new(gz).read_to_string(&mut text).expect("a gzip of text");
    let mut judged = Judged::default();
    let mut open: Option<Trace> = None;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        if line["trace"].is_string() {
            judged.traces_to_the_end += usize::from(open.is_some());
            // The one about the limit of VMAs is followed by the arithmetic's own tests.
            open = (line["trace"] != "map_count").then(|| Trace::new(&line));
        } else if let Some(mut trace) = open.take()
            && trace.line(&line).is_some()
        {
            judged.operations += 1;
            match line["op"].as_str() {
                Some("mremap") => judged.moves += 1,
                Some("madvise") => judged.advices += 1,
                Some("fork") => judged.forks += 1,
                _ => {}
            }
            open = Some(trace);
        }
    }
    judged.traces_to_the_end += usize::from(open.is_some());
    judged
}

#[test]
fn scripted_calls_give_what_the_recorded_kernel_gave() {
    let judged = follow(include_bytes!("../../../../tests/data/mm/cases.jsonl.gz"));
    assert_eq!(judged, Judged { traces_to_the_end: 31, operations: 699, moves: 51, advices: 72, forks: 15 });
}

#[test]
fn random_calls_give_what_the_recorded_kernel_gave() {
    let judged = follow(include_bytes!("../../../../tests/data/mm/traces.jsonl.gz"));
    assert_eq!(judged, Judged { traces_to_the_end: 4, operations: 3642, moves: 271, advices: 387, forks: 126 });
}

/// The names that a trace gives to objects.
#[derive(Clone)]
struct Files {
    f0: FileId,
    f1: FileId,
    f0_read_only: FileId,
}

struct Trace {
    name: String,
    world: World,
    mm: Arc<Mm>,
    files: Files,
    arena: PageRange,
    /// The VMAs last recorded.
    recorded: Value,
    /// Shared anonymous objects by first appearance.
    shm: BTreeMap<FileId, usize>,
}

impl Trace {
    fn new(header: &Value) -> Trace {
        let name = header["trace"].as_str().expect("a name").to_owned();
        let world = World::new(MachineConfig { reclaim_by_choice: false, swap_bytes: 0, ..MachineConfig::default() });
        let mm = world.new_mm("recorder");
        let pages = header["arena_pages"].as_u64().expect("arena_pages");
        let arena = PageRange::with_len(VirtAddr(ARENA).vpn(), pages).expect("an arena");
        let files = world.kernel.enter(|_| {
            mm.set_placement(Placement {
                mmap_base: arena.end().addr(),
                min_addr: VirtAddr(PAGE_SIZE),
                may_map_low: true,
                ..Placement::default()
            });
            let file = |name, inode| world.machine.open_file(name, inode);
            let fill = file("fill", "00:02 1");
            for (from, to) in [(Vpn(1), arena.start()), (arena.end(), VirtAddr(TASK_SIZE).vpn())] {
                let args = MmapArgs {
                    addr: from.addr(),
                    len_bytes: (to - from) * PAGE_SIZE,
                    prot: Prot::empty(),
                    flags: MapFlags::SHARED | MapFlags::FIXED,
                    backing: MmapBacking::File { file: fill, readable: true, writable: true },
                    offset_bytes: 0,
                };
                mm.mmap(&args).expect("filled");
            }
            Files { f0: file("f0", "00:02 2"), f1: file("f1", "00:02 3"), f0_read_only: file("f0", "00:02 2") }
        });
        Trace { name, world, mm, files, arena, recorded: json!([]), shm: BTreeMap::new() }
    }

    /// Does an operation and compares; `None` when it is not modelled.
    fn line(&mut self, line: &Value) -> Option<()> {
        if line["op"] == "fork" {
            self.fork(line)?;
        } else {
            self.call(&Arc::clone(&self.mm), line)?;
        }
        if let Some(v) = line.get("v") {
            self.recorded = v.clone();
        }
        let place = format!("{} op {}: {line}", self.name, line["i"]);
        let vmas = self.vmas(&Arc::clone(&self.mm));
        assert_eq!(vmas, normal(&self.recorded), "{place}");
        Some(())
    }

    /// One call of a process, its result compared.
    fn call(&self, mm: &Arc<Mm>, line: &Value) -> Option<()> {
        let place = format!("{} op {}: {line}", self.name, line["i"]);
        let got = self.world.kernel.enter(|_| self.result(mm, line))?;
        match (got, line["e"].as_str()) {
            (Err(error), Some(recorded)) => assert_eq!(error.name(), recorded, "{place}"),
            (Ok(Some(at)), None) => assert_eq!(at, bytes_at(&line["r"]), "{place}"),
            (Ok(None), None) => {}
            (got, _) => panic!("{place}: got {got:?}"),
        }
        Some(())
    }

    /// The address it gives, if any.
    fn result(&self, mm: &Arc<Mm>, line: &Value) -> Option<Result<Option<VirtAddr>, Errno>> {
        let (addr, len) = (bytes_at(&line["addr"]), || bytes(&line["len"]));
        Some(match line["op"].as_str()? {
            "mmap" => mm.mmap(&self.mmap_args(line)?).map(Some),
            "munmap" => mm.munmap(addr, len()).map(|()| None),
            "mprotect" => mm.mprotect(addr, len(), prot(line["prot"].as_str()?)?).map(|()| None),
            "mremap" => self.mremap(mm, line)?.map(Some),
            "madvise" => self.madvise(mm, line)?.map(|()| None),
            "read" | "write" => {
                self.access(mm, line)?;
                Ok(None)
            }
            // About pages and files only.
            "mincore" | "msync" | "ftruncate" | "punch_hole" | "fwrite" => match line["e"].as_str() {
                Some(error) => Err(Errno::from_name(error)?),
                None => Ok(None),
            },
            // Not modelled: without effect on VMAs if it failed.
            _ if line["v"].is_null() => Err(Errno::from_name(line["e"].as_str()?)?),
            _ => return None,
        })
    }

    fn mmap_args(&self, line: &Value) -> Option<MmapArgs> {
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
                "NORESERVE" => MapFlags::NORESERVE,
                "POPULATE" => MapFlags::POPULATE,
                "NONBLOCK" => MapFlags::NONBLOCK,
                "STACK" => MapFlags::STACK,
                // The limit on locked memory is not modelled.
                "LOCKED" => return None,
                hex => MapFlags::from_bits_retain(u32::from_str_radix(hex.strip_prefix("0x")?, 16).ok()?),
            };
        }
        let file = |file, writable| MmapBacking::File { file, readable: true, writable };
        let backing = match line["fd"].as_str()? {
            "f0" => file(self.files.f0, true),
            "f1" => file(self.files.f1, true),
            "f0ro" => file(self.files.f0_read_only, false),
            _ => MmapBacking::None,
        };
        Some(MmapArgs {
            addr: bytes_at(&line["addr"]),
            len_bytes: bytes(&line["len"]),
            prot: prot(line["prot"].as_str()?)?,
            flags,
            backing,
            offset_bytes: bytes(&line["off"]),
        })
    }

    fn mremap(&self, mm: &Mm, line: &Value) -> Option<Result<VirtAddr, Errno>> {
        let mut flags = MremapFlags::empty();
        for word in line["flags"].as_str()?.split('|') {
            flags |= match word {
                "MAYMOVE" => MremapFlags::MAYMOVE,
                "FIXED" => MremapFlags::FIXED,
                "DONTUNMAP" => MremapFlags::DONTUNMAP,
                hex => MremapFlags::from_bits_retain(u32::from_str_radix(hex.strip_prefix("0x")?, 16).ok()?),
            };
        }
        let (old, old_len, new_len) = (bytes_at(&line["addr"]), bytes(&line["old_len"]), bytes(&line["new_len"]));
        let spans_several = mm.find_vma(old.vpn()).is_some_and(|v| v.end().addr().0 < old.0.saturating_add(old_len));
        if spans_several && flags.contains(MremapFlags::FIXED) && pages_of(old_len) == pages_of(new_len) {
            // Later kernels move several VMAs at once.
            return None;
        }
        let done = mm.mremap(old, old_len, new_len, flags, Some(bytes_at(&line["new_addr"])), None);
        Some(done)
    }

    fn madvise(&self, mm: &Mm, line: &Value) -> Option<Result<(), Errno>> {
        let word = line["advice"].as_str()?;
        let done = match Advice::from_word(&format!("MADV_{word}")) {
            None => return Some(Err(Errno::EINVAL)),
            // Guards are of later kernels; huge pages, holes and ends of files are not modelled.
            Some(Advice::GuardInstall | Advice::GuardRemove | Advice::Collapse) => return None,
            Some(_) if line["e"] == "EFAULT" => return None,
            Some(advice) => mm.madvise(bytes_at(&line["addr"]), bytes(&line["len"]), advice),
        };
        // Holes in files are not made here.
        let recorded = line["e"].as_str().map_or(Some(Ok(())), |error| Errno::from_name(error).map(Err));
        if done == Err(Errno::EOPNOTSUPP) { recorded } else { Some(done) }
    }

    fn access(&self, mm: &Mm, line: &Value) -> Option<()> {
        let page = self.arena.start() + line["page"].as_u64()?;
        let write = line["op"] == "write";
        let vma = mm.find_vma(page);
        if !write && vma.is_some_and(|v| v.flags().contains(VmFlags::HUGEPAGE)) {
            // A huge zero page is a link to anonymous pages.
            return None;
        }
        let done = match line["tag"].as_u64() {
            Some(tag) => mm.write_page(page, tag).map(|()| tag),
            None => mm.read_page(page),
        };
        let signal = match done {
            Ok(_) => None,
            Err(FaultError::NotMapped(_)) => Some("SEGV_MAPERR"),
            Err(FaultError::NotAllowed(_)) => Some("SEGV_ACCERR"),
            Err(fault @ (FaultError::OutOfMemory | FaultError::Poisoned(_))) => panic!("{}: {fault}", self.name),
        };
        let recorded = line["sig"].as_str().filter(|signal| *signal != "BUS_ADRERR");
        assert_eq!(signal, recorded, "{} op {}: {line}", self.name, line["i"]);
        // What files hold is not modelled.
        if let (Ok(tag), false, true) = (done, write, vma.is_some_and(|v| v.is_anonymous())) {
            assert_eq!(Some(tag), line["r"].as_u64(), "{} op {}: {line}", self.name, line["i"]);
        }
        Some(())
    }

    /// The child acts, then the parent, each compared; then the child exits.
    fn fork(&mut self, line: &Value) -> Option<()> {
        let mm = Arc::clone(&self.mm);
        let child = self.world.kernel.enter(|k| mm.fork(k, Name::new("child"))).expect("forked");
        self.compare(&child, &line["c0"], line, "the child at once");
        for act in line["cacts"].as_array()? {
            self.call(&child, act)?;
        }
        self.compare(&child, &line["c1"], line, "the child after its acts");
        for act in line["pacts"].as_array()? {
            self.call(&mm, act)?;
        }
        self.compare(&mm, &line["p1"], line, "the parent after its acts");
        self.compare(&child, &line["c2"], line, "the child after the parent's acts");
        self.world.kernel.enter(|_| child.exit());
        Some(())
    }

    fn compare(&mut self, mm: &Arc<Mm>, snapshot: &Value, line: &Value, when: &str) {
        assert_eq!(self.vmas(mm), normal(&snapshot["v"]), "{} op {}: {when}", self.name, line["i"]);
    }

    /// The VMAs in the arena as they are recorded.
    fn vmas(&mut self, mm: &Mm) -> Value {
        let (files, arena) = (&self.files, self.arena);
        let shm = &mut self.shm;
        let inside = mm.vmas().into_iter().filter(|v| arena.covers(v.range()));
        let vmas = inside.map(|vma| {
            let (offset, name) = match vma.kind() {
                VmaKind::File(id) if id == files.f0 || id == files.f0_read_only => (vma.pgoff().0, "f0".to_owned()),
                VmaKind::File(id) if id == files.f1 => (vma.pgoff().0, "f1".to_owned()),
                VmaKind::File(id) => {
                    let next = shm.len();
                    (vma.pgoff().0, format!("shm{}", shm.entry(id).or_insert(next)))
                }
                VmaKind::Anon | VmaKind::Special(_) => (0, String::new()),
            };
            let start = arena.start();
            json!([vma.start() - start, vma.end() - start, perms(&vma), offset, name, letters(vma.flags())])
        });
        Value::Array(vmas.collect())
    }
}

fn perms(vma: &Vma) -> String {
    let shared = if vma.flags().contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
    format!("{}{shared}", vma.flags().prot())
}

const LETTERS: [(VmFlags, &str); 20] = [
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
    (VmFlags::HUGEPAGE, "hg"),
    (VmFlags::NOHUGEPAGE, "nh"),
    (VmFlags::DONTCOPY, "dc"),
    (VmFlags::DONTDUMP, "dd"),
    (VmFlags::WIPEONFORK, "wf"),
    (VmFlags::MERGEABLE, "mg"),
    (VmFlags::RAND_READ, "rr"),
    (VmFlags::SEQ_READ, "sr"),
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

const fn pages_of(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(PAGE_SIZE)
}

/// A length: pages, `[pages, bytes]`, or bytes as a string.
fn bytes(value: &Value) -> u64 {
    match value {
        Value::String(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).expect("a hexadecimal number"),
        Value::Array(parts) => {
            parts[0].as_u64().expect("pages").wrapping_mul(PAGE_SIZE) + parts[1].as_u64().expect("bytes")
        }
        Value::Null => 0,
        number => number.as_u64().expect("pages").wrapping_mul(PAGE_SIZE),
    }
}

/// An address: as [`bytes`], but pages count from the arena's start.
fn bytes_at(value: &Value) -> VirtAddr {
    match value {
        Value::String(_) | Value::Null => VirtAddr(bytes(value)),
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
