//! The readers, the VMA tree and the comparison against each other: whole programs replayed from one recorded snapshot
//! to the next, on VMAs alone.

use super::recorded;
use crate::strace::{Call, Difference, Entry, Event, Maps, Outcome, StraceLog, compare};
use mm::vma::{
    AnonVmaId, Brk, BrkPlan, FileId, FileText, MapFlags, MapsLine, MapsNames, MmapArgs, MmapBacking, Mprotect,
    Placement, VmaTree, munmap_range,
};
use mm_types::{Errno, VirtAddr, VmFlags};

/// One address space of a recording.
struct Replay {
    tree: VmaTree,
    names: MapsNames,
    files: Vec<String>,
}

impl Replay {
    fn load(start: &Maps) -> Replay {
        let mut files = Vec::new();
        let mut tree = VmaTree::default();
        let mut next = 0;
        let loaded = tree.load_maps(
            &start.lines,
            |line| file_id(&mut files, &line.name),
            || {
                next += 1;
                AnonVmaId::new(next)
            },
        );
        Replay { tree, names: loaded.expect("a snapshot of Linux").names, files }
    }

    fn snapshot(&self) -> Maps {
        let text = |FileId(n): FileId| FileText {
            name: self.files[n as usize].clone(),
            device_inode: MapsLine::NO_INODE.to_owned(),
        };
        Maps { lines: self.tree.maps_lines(&self.names, text) }
    }

    /// Does a call at the recorded address; its result must be the recorded one.
    #[track_caller]
    fn entry(&mut self, entry: &Entry) {
        let Event::Call(call, outcome) = &entry.event else { return };
        let got = match *call {
            Call::Mmap { .. } => self.mmap(call, outcome),
            Call::Munmap { addr, len_bytes } => {
                munmap_range(addr, len_bytes).and_then(|range| self.tree.remove(range)).map(|_| 0)
            }
            Call::Mprotect { addr, len_bytes, prot } => self.mprotect(addr, len_bytes, prot),
            Call::Brk { addr } => Ok(self.brk(addr, outcome)),
            _ => panic!("line {}: {} is not replayed here", entry.line, call.name()),
        };
        let got = got.map_or_else(|e| Outcome::Failed(e.name().to_owned()), Outcome::Value);
        assert_eq!(&got, outcome, "line {}: {call:?}", entry.line);
    }

    fn mmap(&mut self, call: &Call, outcome: &Outcome) -> Result<u64, Errno> {
        let Call::Mmap { len_bytes, prot, flags, ref fd, offset_bytes, .. } = *call else {
            panic!("no mmap: {call:?}")
        };
        let Outcome::Value(recorded) = *outcome else { panic!("a recorded mmap that failed: {call:?}") };
        let files = &mut self.files;
        let backing = match &fd.path {
            Some(path) => MmapBacking::File { file: file_id(files, path), readable: true, writable: false },
            None => MmapBacking::None,
        };
        // Where a mapping goes depends on address randomisation: the recorded place must be free, or asked for.
        let place = if flags.contains(MapFlags::FIXED) { MapFlags::FIXED } else { MapFlags::FIXED_NOREPLACE };
        let flags = flags | place;
        let args = MmapArgs { addr: VirtAddr(recorded), len_bytes, prot, flags, backing, offset_bytes };
        let plan = args.plan(&self.tree, &Placement::default(), VmFlags::empty(), || {
            files.push("/dev/zero (deleted)".to_owned());
            FileId(files.len() as u32 - 1)
        })?;
        self.tree.remove(plan.mapping.range)?;
        self.tree.map_new(plan.mapping);
        Ok(plan.mapping.range.start().addr().0)
    }

    fn mprotect(&mut self, addr: VirtAddr, len_bytes: u64, prot: mm_types::Prot) -> Result<u64, Errno> {
        if let Some(mut walk) = Mprotect::new(addr, len_bytes, prot.into())? {
            while walk.step(&mut self.tree)?.is_some() {}
        }
        Ok(0)
    }

    fn brk(&mut self, addr: VirtAddr, outcome: &Outcome) -> u64 {
        let Outcome::Value(recorded) = *outcome else { panic!("brk does not fail") };
        if self.names.brk == Brk::default() {
            // The first answer tells where the heap starts, when it is still empty.
            self.names.brk = Brk { start: VirtAddr(recorded), end: VirtAddr(recorded) };
        }
        let brk = self.names.brk;
        match self.tree.plan_brk(brk, addr) {
            BrkPlan::Refused => return brk.end.0,
            BrkPlan::SamePage => {}
            BrkPlan::Shrink(range) => drop(self.tree.remove(range)),
            BrkPlan::Grow(range) => drop(self.tree.brk_expand(brk, range, VmFlags::empty())),
        }
        self.names.brk.end = addr;
        addr.0
    }
}

/// The same path is taken for the same open file: `open` is not in the logs.
fn file_id(files: &mut Vec<String>, path: &str) -> FileId {
    let n = files.iter().position(|f| f == path).unwrap_or_else(|| {
        files.push(path.to_owned());
        files.len() - 1
    });
    FileId(n as u32)
}

/// Replays `pid` of a log, without the lines of `without`.
#[track_caller]
fn replayed(log: &str, pid: u32, start: &str, end: &str, without: &[usize]) -> Vec<Difference> {
    let log = StraceLog::parse(log).expect("a recorded log");
    let mut replay = Replay::load(&Maps::parse(start).expect("a snapshot"));
    let entries = log.between_markers(pid).expect("both markers");
    assert!(entries.len() > 10, "there is something to replay");
    for entry in entries.iter().filter(|e| e.pid == pid && !without.contains(&e.line)) {
        replay.entry(entry);
    }
    compare(&Maps::parse(end).expect("a snapshot"), &replay.snapshot())
}

const NONE: [Difference; 0] = [];

#[test]
fn cat_ends_with_the_recorded_maps() {
    let (start, end) = (recorded!("cat_maps.29357.cat.start.maps"), recorded!("cat_maps.29357.cat.end.maps"));
    assert_eq!(replayed(recorded!("cat_maps.strace"), 29357, start, end, &[]), NONE);
}

#[test]
fn git_ends_with_the_recorded_maps() {
    let (start, end) = (recorded!("git_log.29521.git.start.maps"), recorded!("git_log.29521.git.end.maps"));
    assert_eq!(replayed(recorded!("git_log.strace"), 29521, start, end, &[]), NONE);
}

#[test]
fn cargo_ends_with_the_recorded_maps() {
    let start = recorded!("cargo_version.29462.cargo.start.maps");
    let end = recorded!("cargo_version.29462.cargo.end.maps");
    assert_eq!(replayed(recorded!("cargo_version.strace"), 29462, start, end, &[]), NONE);
}

#[test]
fn a_replay_that_does_nothing_differs() {
    let (start, end) = (recorded!("cat_maps.29357.cat.start.maps"), recorded!("cat_maps.29357.cat.end.maps"));
    let differences = compare(&Maps::parse(end).unwrap(), &Maps::parse(start).unwrap());
    assert_eq!(differences.iter().map(|d| (d.expected.len(), d.got.len())).collect::<Vec<_>>(), vec![(1, 0); 14]);
}

/// The last munmap of cat, of its 136 KiB buffer, dropped: that VMA and no other differs.
#[test]
fn a_dropped_munmap_shows_exactly_its_vma() {
    let (start, end) = (recorded!("cat_maps.29357.cat.start.maps"), recorded!("cat_maps.29357.cat.end.maps"));
    let log = recorded!("cat_maps.strace");
    let dropped = 1 + log.lines().position(|l| l.contains("munmap(0x7f02ec516000")).expect("the line is there");
    let differences = replayed(log, 29357, start, end, &[dropped]);
    let text: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["expected: nothing mapped there\ngot:      7f02ec516000-7f02ec538000 rw-p 00000000 00:00 0"]);
}
