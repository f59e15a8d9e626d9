//! The process that does a program's calls for real, and writes down what came of them.
//!
//! Before the first call everything that it will need is there: the heap has been grown and touched, and all free address
//! space outside of the arena is filled with a mapping that nobody may access. So a mapping without an address can only land
//! in the arena, nothing of the process's own gets there, and no page fault is counted that a call did not cause.

#![expect(unsafe_code, reason = "system calls on memory by number and address: what this is for")]

use super::access;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

const ARENA: u64 = 0x2000_0000_0000;
const ARENA_PAGES: u64 = 16_384;
const PAGE: u64 = 4096;
/// Newer than the C library's table.
const SYS_MSEAL: i64 = 462;
const USER_END: u64 = 0x7fff_ffff_f000;
const MEMLOCK_PAGES: u64 = 96;
/// What the heap is grown by beforehand.
const HEAP_BYTES: usize = 24 << 20;

/// Does the program on standard input and writes its trace to standard output.
pub(super) fn play() -> Result<(), String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|e| format!("no program: {e}"))?;
    let program: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(|e| format!("no program: {e}"))?;
    let mut host = Host::new()?;
    host.header()?;
    for (index, op) in program.iter().enumerate() {
        host.operation(index, op)?;
    }
    io::stdout().flush().map_err(|e| e.to_string())
}

struct Host {
    f0: File,
    f1: File,
    f0_read_only: File,
    smaps: File,
    pagemap: File,
    flags: File,
    mem: File,
    /// Shared anonymous objects by inode.
    shm: BTreeMap<u64, usize>,
    /// The last state, as text.
    last: [String; 3],
    buffer: Vec<u8>,
    /// Memory of the program itself: start, end, and whether it is written.
    own: Vec<(u64, u64, bool)>,
}

/// A system call's result, or the errno's name.
type Called = Result<i64, String>;

impl Host {
    fn new() -> Result<Host, String> {
        let open = |path: &str| File::open(path).map_err(|e| format!("{path}: {e}"));
        let (f0, f1) = (memfd(c"f0")?, memfd(c"f1")?);
        for page in 0..64_u64 {
            f0.write_all_at(&(1_000_000 + page).to_le_bytes(), page * PAGE).map_err(|e| e.to_string())?;
        }
        for page in (0..24_u64).step_by(2) {
            f1.write_all_at(&(2_000_000 + page).to_le_bytes(), page * PAGE).map_err(|e| e.to_string())?;
        }
        f0.set_len(64 * PAGE).map_err(|e| e.to_string())?;
        f1.set_len(24 * PAGE + 100).map_err(|e| e.to_string())?;
        let f0_read_only = open(&format!("/proc/self/fd/{}", f0.as_raw_fd()))?;
        let host = Host {
            f0_read_only,
            f0,
            f1,
            smaps: open("/proc/self/smaps")?,
            pagemap: open("/proc/self/pagemap")?,
            flags: open("/proc/kpageflags")?,
            mem: open("/proc/self/mem")?,
            shm: BTreeMap::new(),
            last: ["[]".to_owned(), "[]".to_owned(), "[]".to_owned()],
            buffer: vec![0; 4 << 20],
            own: Vec::new(),
        };
        access::install();
        pin()?;
        limit_memlock()?;
        grow_heap();
        host.fence()
    }

    /// Takes all free address space outside of the arena.
    fn fence(mut self) -> Result<Host, String> {
        let fill = memfd(c"fill")?;
        let maps = fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
        let mut taken: Vec<(u64, u64)> =
            maps.lines().filter_map(|line| range(line).map(|(start, end, _)| (start, end))).collect();
        taken.push((ARENA, ARENA + ARENA_PAGES * PAGE));
        taken.sort_unstable();
        let mut next = PAGE;
        for (start, end) in taken.into_iter().filter(|(start, _)| *start < USER_END).chain([(USER_END, USER_END)]) {
            if next < start {
                fill_gap(&fill, next, start)?;
            }
            next = next.max(end);
        }
        let maps = fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
        let own = |line: &str| {
            let (start, end, rest) = range(line)?;
            let known = rest.starts_with('r') && start < USER_END && !rest.contains("[v");
            known.then_some((start, end, rest.starts_with("rw-p")))
        };
        self.own = maps.lines().filter_map(own).collect();
        self.prefault();
        Ok(self)
    }

    /// Reads, and writes where that is allowed, every page of the program's own, so that none is faulted in, or copied
    /// after a fork, and counted, later.
    fn prefault(&self) {
        for (start, end, writable) in &self.own {
            for page in (*start..*end).step_by(PAGE as usize) {
                if let Ok(value) = access::load(page)
                    && *writable
                {
                    // The same value again: by another way than through a reference, which the compiler may keep.
                    let _ = access::store(page, value);
                }
            }
        }
    }

    fn header(&mut self) -> Result<(), String> {
        let outside = fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?.lines().count();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.trim();
        let line = format!(
            "{{\"trace\":\"live\",\"arena_pages\":{ARENA_PAGES},\"outside_vmas\":{outside},\"memlock_pages\":{MEMLOCK_PAGES},\"kernel\":\"{release}\"}}\n"
        );
        io::stdout().write_all(line.as_bytes()).map_err(|e| e.to_string())
    }

    fn operation(&mut self, index: usize, op: &Value) -> Result<(), String> {
        let mut line = op.to_string();
        line.pop();
        line = format!("{{\"i\":{index},{}", &line[1..]);
        if op["op"] == "fork" {
            self.fork(op, &mut line)?;
        } else {
            line.push_str(&self.call(op));
        }
        let state = self.snapshot()?;
        for ((key, now), last) in ["v", "pm", "ct"].into_iter().zip(state).zip(&mut self.last) {
            if now != *last {
                let _ = write!(line, ",\"{key}\":{now}");
                *last = now;
            }
        }
        line.push_str("}\n");
        io::stdout().write_all(line.as_bytes()).map_err(|e| e.to_string())
    }

    /// Does a call; what it came to, as the rest of its object.
    fn call(&self, op: &Value) -> String {
        let kind = op["op"].as_str().unwrap_or_default();
        match kind {
            "read" | "write" => return self.access(op, kind == "write"),
            "mincore" => return self.mincore(op),
            _ => {}
        }
        let before = faults();
        let called = self.syscall(op, kind);
        let faults = faults() - before;
        match called {
            Ok(at) if matches!(kind, "mmap" | "mremap") => format!(",\"r\":{},\"nf\":{faults}", place_text(at as u64)),
            Ok(number) => format!(",\"r\":{number},\"nf\":{faults}"),
            Err(name) => format!(",\"e\":\"{name}\",\"nf\":{faults}"),
        }
    }

    fn access(&self, op: &Value, write: bool) -> String {
        let at = ARENA + op["page"].as_u64().unwrap_or(0).min(ARENA_PAGES - 1) * PAGE;
        let tag = op["tag"].as_u64().unwrap_or(0);
        let before = faults();
        let done = if write { access::store(at, tag).map(|()| 0) } else { access::load(at) };
        let faults = faults() - before;
        match done {
            Ok(value) => format!(",\"r\":{value},\"nf\":{faults}"),
            Err(signal) => format!(",\"sig\":\"{signal}\",\"r\":0,\"nf\":{faults}"),
        }
    }

    fn mincore(&self, op: &Value) -> String {
        let (addr, len) = (place(&op["addr"]), length(&op["len"]));
        let mut bits = vec![0_u8; len.div_ceil(PAGE).min(ARENA_PAGES * 2) as usize + 1];
        let before = faults();
        // SAFETY: the vector has a byte for each page asked about, as programs ask about few.
        let done = unsafe { libc::mincore(addr as *mut c_void, len as usize, bits.as_mut_ptr()) };
        let error = errno_name();
        let faults = faults() - before;
        if done != 0 {
            return format!(",\"e\":\"{error}\",\"nf\":{faults}");
        }
        let pages = len.div_ceil(PAGE) as usize;
        let text: String = bits[..pages].iter().map(|b| if b & 1 == 1 { '1' } else { '0' }).collect();
        format!(",\"vec\":\"{text}\",\"r\":0,\"nf\":{faults}")
    }

    fn fd(&self, op: &Value) -> i32 {
        match op["fd"].as_str() {
            Some("f0") => self.f0.as_raw_fd(),
            Some("f1") => self.f1.as_raw_fd(),
            Some("f0ro") => self.f0_read_only.as_raw_fd(),
            _ => -1,
        }
    }

    fn syscall(&self, op: &Value, kind: &str) -> Called {
        use libc::{
            SYS_fallocate, SYS_ftruncate, SYS_madvise, SYS_mlock, SYS_mlock2, SYS_mmap, SYS_mprotect, SYS_mremap,
        };
        use libc::{SYS_msync, SYS_munlock, SYS_munmap, SYS_pwrite64};
        let (addr, len) = (place(&op["addr"]), length(&op["len"]));
        let word = |key: &str| op[key].as_str().unwrap_or_default();
        let flags = |table: &[(&str, u64)]| words(word("flags"), table);
        let fd = self.fd(op) as u64;
        let tag = op["tag"].as_u64().unwrap_or(0);
        let tag_at = (&raw const tag) as u64;
        let off = length(&op["off"]);
        match kind {
            "mmap" => call(SYS_mmap, [addr, len, prot(word("prot")), map_type(word("type")) | flags(MAP), fd, off]),
            "munmap" => call(SYS_munmap, [addr, len, 0, 0, 0, 0]),
            "mprotect" => call(SYS_mprotect, [addr, len, prot(word("prot")), 0, 0, 0]),
            "mremap" => {
                let (old, new) = (length(&op["old_len"]), length(&op["new_len"]));
                call(SYS_mremap, [addr, old, new, flags(MREMAP), place(&op["new_addr"]), 0])
            }
            "madvise" => call(SYS_madvise, [addr, len, advice(word("advice")), 0, 0, 0]),
            "mlock" => call(SYS_mlock, [addr, len, 0, 0, 0, 0]),
            "munlock" => call(SYS_munlock, [addr, len, 0, 0, 0, 0]),
            "mlock2" => call(SYS_mlock2, [addr, len, flags(&[("ONFAULT", 1)]), 0, 0, 0]),
            "msync" => call(SYS_msync, [addr, len, flags(&[("ASYNC", 1), ("INVALIDATE", 2), ("SYNC", 4)]), 0, 0, 0]),
            "mseal" => call(SYS_MSEAL, [addr, len, flags(&[]), 0, 0, 0]),
            "ftruncate" => call(SYS_ftruncate, [fd, length(&op["size"]), 0, 0, 0, 0]),
            // FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
            "punch_hole" => call(SYS_fallocate, [fd, 3, off, len, 0, 0]),
            "fwrite" => call(SYS_pwrite64, [fd, tag_at, 8, off, 0, 0]),
            _ => Err("ENOSYS".to_owned()),
        }
    }

    /// Forks; the child acts, then this process does, then the child exits. A fork itself faults nothing in: what is
    /// counted right after it are copies of this program's own pages, which are made before anything else is done.
    fn fork(&mut self, op: &Value, line: &mut String) -> Result<(), String> {
        let (mut from_child, to_parent) = pipe()?;
        let (from_parent, to_child) = pipe()?;
        // SAFETY: this process has one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let done = self.child(op, to_parent, from_parent);
            // SAFETY: ends the child without running what belongs to its parent.
            unsafe { libc::_exit(i32::from(done.is_err())) };
        }
        if pid < 0 {
            return Err(format!("fork: {}", errno_name()));
        }
        drop((to_parent, from_parent));
        self.prefault();
        let acted = read_message(&mut from_child)?;
        let parent_acts = self.acts(&op["pacts"]);
        let parent = self.whole()?;
        (&to_child).write_all(b"x").map_err(|e| e.to_string())?;
        let last = read_message(&mut from_child)?;
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        // The acts are in the line already, without their results: those go in their place.
        let object: Value = serde_json::from_str(&format!("{line}}}")).map_err(|e| e.to_string())?;
        let index = &object["i"];
        *line = format!(
            "{{\"i\":{index},\"op\":\"fork\",\"pacts\":{parent_acts},\"p1\":{parent},{acted},\"c2\":{last},\"r\":0,\"nf\":0"
        );
        Ok(())
    }

    fn child(&mut self, op: &Value, mut to_parent: File, mut from_parent: File) -> Result<(), String> {
        // Those of the parent are about another process.
        let open = |path: &str| File::open(path).map_err(|e| format!("{path}: {e}"));
        (self.smaps, self.pagemap) = (open("/proc/self/smaps")?, open("/proc/self/pagemap")?);
        self.mem = open("/proc/self/mem")?;
        self.prefault();
        let first = self.whole()?;
        let acts = self.acts(&op["cacts"]);
        let acted = self.whole()?;
        send_message(&mut to_parent, &format!("\"c0\":{first},\"cacts\":{acts},\"c1\":{acted}"))?;
        from_parent.read_exact(&mut [0]).map_err(|e| e.to_string())?;
        let last = self.whole()?;
        send_message(&mut to_parent, &last)
    }

    fn acts(&self, acts: &Value) -> String {
        let done = acts.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|act| {
            let text = act.to_string();
            format!("{}{}}}", &text[..text.len() - 1], self.call(act))
        });
        format!("[{}]", done.collect::<Vec<_>>().join(","))
    }

    /// The whole state as an object.
    fn whole(&mut self) -> Result<String, String> {
        let [vmas, pages, contents] = self.snapshot()?;
        Ok(format!("{{\"v\":{vmas},\"pm\":{pages},\"ct\":{contents}}}"))
    }

    /// The state of the arena as recordings have it: VMAs, page states, contents.
    fn snapshot(&mut self) -> Result<[String; 3], String> {
        let text = self.read_smaps()?;
        let mut vmas = String::from("[");
        let mut pages = Runs::new(|letter: &char| format!("\"{letter}\""));
        let mut contents = Runs::new(|tag: &u64| tag.to_string());
        let mut open: Option<(u64, u64)> = None;
        for line in text.lines() {
            if let Some((start, end, rest)) = range(line) {
                open = (start >= ARENA && end <= ARENA + ARENA_PAGES * PAGE).then_some((start, end));
                if open.is_some() {
                    let separator = if vmas.len() > 1 { "," } else { "" };
                    let _ = write!(
                        vmas,
                        "{separator}[{},{},{}",
                        (start - ARENA) / PAGE,
                        (end - ARENA) / PAGE,
                        self.vma_text(rest)
                    );
                }
            } else if let Some(flags) = line.strip_prefix("VmFlags:")
                && let Some((start, end)) = open
            {
                let _ = write!(vmas, ",\"{}\"]", flags.trim());
                self.pages(start, end, &mut pages, &mut contents)?;
            }
        }
        vmas.push(']');
        Ok([vmas, pages.text(), contents.text()])
    }

    fn read_smaps(&mut self) -> Result<String, String> {
        let mut at = 0;
        loop {
            let read = self.smaps.read_at(&mut self.buffer[at..], at as u64).map_err(|e| e.to_string())?;
            if read == 0 {
                return Ok(String::from_utf8_lossy(&self.buffer[..at]).into_owned());
            }
            at += read;
        }
    }

    /// Access, offset and name of a VMA, from the rest of its line in maps.
    fn vma_text(&mut self, rest: &str) -> String {
        let mut fields = rest.split_whitespace();
        let perms = fields.next().unwrap_or_default();
        let offset = fields.next().and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0) / PAGE;
        let inode = fields.nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let name = match fields.next().unwrap_or_default() {
            "/memfd:f0" => "f0".to_owned(),
            "/memfd:f1" => "f1".to_owned(),
            "/dev/zero" => {
                let next = self.shm.len();
                format!("shm{}", self.shm.entry(inode).or_insert(next))
            }
            _ => String::new(),
        };
        format!("\"{perms}\",{offset},\"{name}\"")
    }

    fn pages(&mut self, start: u64, end: u64, pages: &mut Runs<char>, contents: &mut Runs<u64>) -> Result<(), String> {
        let count = ((end - start) / PAGE) as usize;
        let mut entries = vec![0_u8; count * 8];
        self.pagemap.read_exact_at(&mut entries, start / PAGE * 8).map_err(|e| format!("pagemap: {e}"))?;
        for (entry, page) in entries.as_chunks::<8>().0.iter().zip((start - ARENA) / PAGE..) {
            let entry = u64::from_le_bytes(*entry);
            let Some(letter) = self.letter(entry)? else { continue };
            pages.push(page, letter);
            if entry >> 63 & 1 == 1 && !matches!(letter, 'z' | 'Z') {
                let mut tag = [0; 8];
                self.mem.read_exact_at(&mut tag, ARENA + page * PAGE).map_err(|e| format!("mem: {e}"))?;
                contents.push(page, u64::from_le_bytes(tag));
            }
        }
        Ok(())
    }

    /// The state of a pagemap entry, with what /proc/kpageflags says of its frame.
    fn letter(&self, entry: u64) -> Result<Option<char>, String> {
        let bit = |n: u32| entry >> n & 1 == 1;
        if bit(58) {
            return Ok(Some('g'));
        }
        if bit(62) {
            return Ok(Some('w'));
        }
        if !bit(63) {
            return Ok(None);
        }
        let exclusive = bit(56);
        let frame = entry & ((1 << 55) - 1);
        let mut flags = [0; 8];
        self.flags.read_exact_at(&mut flags, frame * 8).map_err(|e| format!("kpageflags: {e}"))?;
        let flags = u64::from_le_bytes(flags);
        let has = |n: u32| flags >> n & 1 == 1;
        // The huge zero page has the bit of file pages too. KPF_ZERO_PAGE, KPF_THP, KPF_KSM
        if bit(61) && !has(24) {
            return Ok(Some(if exclusive { 'f' } else { 'F' }));
        }
        Ok(Some(match (has(24), has(22), exclusive) {
            (true, false, _) => 'z',
            (true, true, _) => 'Z',
            _ if has(21) => 'k',
            (false, true, true) => 'A',
            (false, true, false) => 'S',
            (false, false, true) => 'a',
            (false, false, false) => 's',
        }))
    }
}

/// Runs of pages that are alike, as text.
struct Runs<T> {
    text: String,
    last: Option<(u64, u64, T)>,
    show: fn(&T) -> String,
}

impl<T: PartialEq> Runs<T> {
    fn new(show: fn(&T) -> String) -> Runs<T> {
        Runs { text: String::from("["), last: None, show }
    }

    fn push(&mut self, page: u64, value: T) {
        match &mut self.last {
            Some((first, count, last)) if *first + *count == page && *last == value => *count += 1,
            _ => {
                self.close();
                self.last = Some((page, 1, value));
            }
        }
    }

    fn close(&mut self) {
        if let Some((first, count, value)) = self.last.take() {
            let separator = if self.text.len() > 1 { "," } else { "" };
            let _ = write!(self.text, "{separator}[{first},{count},{}]", (self.show)(&value));
        }
    }

    fn text(mut self) -> String {
        self.close();
        self.text.push(']');
        self.text
    }
}

/// Start, end and the rest of a line of /proc/PID/maps.
fn range(line: &str) -> Option<(u64, u64, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, rest))
}

fn memfd(name: &CStr) -> Result<File, String> {
    // SAFETY: the name is a C string; the descriptor is new and owned by the file made of it.
    unsafe {
        let fd = libc::memfd_create(name.as_ptr(), 0);
        if fd < 0 { Err(format!("memfd_create: {}", errno_name())) } else { Ok(File::from_raw_fd(fd)) }
    }
}

fn pipe() -> Result<(File, File), String> {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors, which are new and owned by the files made of them.
    unsafe {
        if libc::pipe(ends.as_mut_ptr()) != 0 {
            return Err(format!("pipe: {}", errno_name()));
        }
        Ok((File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])))
    }
}

fn send_message(to: &mut File, text: &str) -> Result<(), String> {
    to.write_all(&(text.len() as u64).to_le_bytes())
        .and_then(|()| to.write_all(text.as_bytes()))
        .map_err(|e| e.to_string())
}

fn read_message(from: &mut File) -> Result<String, String> {
    let mut len = [0; 8];
    from.read_exact(&mut len).map_err(|e| format!("the child said nothing: {e}"))?;
    let mut text = vec![0; u64::from_le_bytes(len) as usize];
    from.read_exact(&mut text).map_err(|e| e.to_string())?;
    String::from_utf8(text).map_err(|e| e.to_string())
}

/// Fills a gap, or what of it may be mapped: the lowest pages may not be.
fn fill_gap(fill: &File, start: u64, end: u64) -> Result<(), String> {
    for start in [start, start.max(0x1_0000)] {
        if start >= end {
            return Ok(());
        }
        let args =
            [start, end - start, 0, (libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE) as u64, fill.as_raw_fd() as u64, 0];
        match call(libc::SYS_mmap, args) {
            Ok(_) => return Ok(()),
            Err(error) if start >= 0x1_0000 => return Err(format!("{start:#x}..{end:#x} cannot be filled: {error}")),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Gives khugepaged an address space to look after, which has nothing to collapse. With none it sleeps until one comes, and
/// begins with that at once, in the middle of a trace; with one it comes every ten seconds.
pub(super) fn occupy_khugepaged() {
    const HUGE: usize = 2 << 20;
    // SAFETY: a mapping of its own, never touched and never given back; advice about it. Failing, nothing is lost.
    unsafe {
        let at =
            libc::mmap(std::ptr::null_mut(), 2 * HUGE, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if at != libc::MAP_FAILED {
            libc::madvise(at, 2 * HUGE, libc::MADV_HUGEPAGE);
        }
    }
}

/// Keeps this process and its children on the CPU it is on: pages wait for reclaim on lists of the CPU that used them last,
/// where another would not find them.
fn pin() -> Result<(), String> {
    // SAFETY: a zeroed set is an empty one; the calls read and write nothing else.
    let pinned = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0).cast_unsigned() as usize, &mut cpus);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    if pinned == 0 { Ok(()) } else { Err(format!("sched_setaffinity: {}", errno_name())) }
}

/// `RLIMIT_MEMLOCK` counts: without the capability to pass it.
fn limit_memlock() -> Result<(), String> {
    const CAP_IPC_LOCK: u32 = 14;
    let limit = libc::rlimit { rlim_cur: MEMLOCK_PAGES * PAGE, rlim_max: MEMLOCK_PAGES * PAGE };
    // Version 3 of the header, this process; two sets of effective, permitted and inheritable bits.
    let mut header = [0x2008_0522_u32, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: the limit is valid; header and sets are laid out as capget and capset expect of version 3.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) != 0 {
            return Err(format!("RLIMIT_MEMLOCK: {}", errno_name()));
        }
        libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr());
        sets.iter_mut().take(3).for_each(|set| *set &= !(1 << CAP_IPC_LOCK));
        if libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_mut_ptr()) != 0 {
            return Err(format!("capset: {}", errno_name()));
        }
    }
    Ok(())
}

/// The allocator gets memory from the heap only, and enough of it now.
fn grow_heap() {
    // SAFETY: settings of the allocator of this process.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    drop(std::hint::black_box(vec![1_u8; HEAP_BYTES]));
}

fn faults() -> u64 {
    // SAFETY: all-zero is a valid rusage, which is filled in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        (usage.ru_minflt + usage.ru_majflt) as u64
    }
}

fn call(number: libc::c_long, args: [u64; 6]) -> Called {
    let [a, b, c, d, e, f] = args;
    // SAFETY: programs name addresses in the arena only, where nothing of this program lies, or ones that are taken.
    let done = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if done == -1 { Err(errno_name()) } else { Ok(done) }
}

fn errno_name() -> String {
    let error = io::Error::last_os_error();
    let name = error.raw_os_error().and_then(|number| {
        let known = [
            (libc::EPERM, "EPERM"),
            (libc::EINTR, "EINTR"),
            (libc::EBADF, "EBADF"),
            (libc::EAGAIN, "EAGAIN"),
            (libc::ENOMEM, "ENOMEM"),
            (libc::EACCES, "EACCES"),
            (libc::EFAULT, "EFAULT"),
            (libc::EBUSY, "EBUSY"),
            (libc::EEXIST, "EEXIST"),
            (libc::ENODEV, "ENODEV"),
            (libc::EINVAL, "EINVAL"),
            (libc::ENOSPC, "ENOSPC"),
            (libc::EOVERFLOW, "EOVERFLOW"),
            (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        ];
        known.into_iter().find(|(n, _)| *n == number).map(|(_, name)| name.to_owned())
    });
    name.unwrap_or_else(|| error.to_string())
}

/// Pages, `[pages, bytes]`, or bytes as a string.
fn length(value: &Value) -> u64 {
    match value {
        Value::String(hex) => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(0),
        Value::Array(parts) => {
            let part = |n: usize| parts.get(n).and_then(Value::as_u64).unwrap_or(0);
            part(0) * PAGE + part(1)
        }
        pages => pages.as_u64().unwrap_or(0) * PAGE,
    }
}

fn place(value: &Value) -> u64 {
    if value.is_string() { length(value) } else { ARENA + length(value) }
}

fn place_text(addr: u64) -> String {
    match addr.checked_sub(ARENA).filter(|at| at % PAGE == 0 && *at < ARENA_PAGES * PAGE) {
        Some(at) => (at / PAGE).to_string(),
        None => format!("\"{addr:#x}\""),
    }
}

fn words(text: &str, table: &[(&str, u64)]) -> u64 {
    let bit = |word: &str| {
        let known = table.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
        known.or_else(|| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).unwrap_or(0)
    };
    text.split('|').map(bit).fold(0, |all, bit| all | bit)
}

const MAP: &[(&str, u64)] = &[
    ("FIXED", 0x10),
    ("ANON", 0x20),
    ("GROWSDOWN", 0x100),
    ("LOCKED", 0x2000),
    ("NORESERVE", 0x4000),
    ("POPULATE", 0x8000),
    ("NONBLOCK", 0x1_0000),
    ("STACK", 0x2_0000),
    ("SYNC", 0x8_0000),
    ("NOREPLACE", 0x10_0000),
];
const MREMAP: &[(&str, u64)] = &[("MAYMOVE", 1), ("FIXED", 2), ("DONTUNMAP", 4)];

fn map_type(word: &str) -> u64 {
    match word {
        "SHARED" => 1,
        "PRIVATE" => 2,
        "SHARED_VALIDATE" => 3,
        "DROPPABLE" => 8,
        _ => 0,
    }
}

fn prot(text: &str) -> u64 {
    let (access, more) = text.split_once('|').unwrap_or((text, ""));
    let bit = |letter, bit| if access.contains(letter) { bit } else { 0 };
    let more = words(more, &[("GROWSDOWN", 0x0100_0000), ("GROWSUP", 0x0200_0000)]);
    bit('r', 1) | bit('w', 2) | bit('x', 4) | more
}

/// Numbers of include/uapi/asm-generic/mman-common.h.
fn advice(word: &str) -> u64 {
    let table = [
        ("NORMAL", 0),
        ("RANDOM", 1),
        ("SEQUENTIAL", 2),
        ("WILLNEED", 3),
        ("DONTNEED", 4),
        ("FREE", 8),
        ("REMOVE", 9),
        ("DONTFORK", 10),
        ("DOFORK", 11),
        ("MERGEABLE", 12),
        ("UNMERGEABLE", 13),
        ("HUGEPAGE", 14),
        ("NOHUGEPAGE", 15),
        ("DONTDUMP", 16),
        ("DODUMP", 17),
        ("WIPEONFORK", 18),
        ("KEEPONFORK", 19),
        ("COLD", 20),
        ("PAGEOUT", 21),
        ("POPULATE_READ", 22),
        ("POPULATE_WRITE", 23),
        ("DONTNEED_LOCKED", 24),
        ("COLLAPSE", 25),
        ("GUARD_INSTALL", 102),
        ("GUARD_REMOVE", 103),
    ];
    table.into_iter().find(|(name, _)| *name == word).map_or(77, |(_, number)| number)
}
