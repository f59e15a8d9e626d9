//! The text of /proc/PID/maps, from a tree and into one. Linux: `show_map_vma()`, fs/proc/task_mmu.c.

use super::{AnonLink, AnonVmaId, Brk, FileId, Vma, VmaKind, VmaTree};
use mm_types::{Name, PAGE_SHIFT, PAGE_SIZE, PageRange, Pgoff, Prot, TASK_SIZE, VirtAddr, VmFlags, Vpn};
use std::fmt;

/// One line of /proc/PID/maps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapsLine {
    /// The pages.
    pub range: PageRange,
    /// Access.
    pub prot: Prot,
    /// Shared (`s`) rather than private (`p`).
    pub shared: bool,
    /// Offset into the file, bytes; 0 for anonymous memory.
    pub offset_bytes: u64,
    /// Device and inode as they stood in the text, such as `fe:00 247030`.
    pub device_inode: String,
    /// Path or bracketed name; empty for unnamed anonymous memory.
    pub name: String,
}

impl MapsLine {
    /// Device and inode of memory that is no file.
    pub const NO_INODE: &'static str = "00:00 0";
}

impl fmt::Display for MapsLine {
    /// As the kernel prints it, without the line's end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not Vpn::addr: the text shows the real end, also that of the last page.
        let (start, end) = (self.range.start().0 << PAGE_SHIFT, self.range.end().0 << PAGE_SHIFT);
        let head = format!(
            "{start:08x}-{end:08x} {}{} {:08x} {} ",
            self.prot,
            if self.shared { 's' } else { 'p' },
            self.offset_bytes,
            self.device_inode
        );
        if self.name.is_empty() {
            return f.write_str(&head);
        }
        // The kernel pads to 25 + 6 * sizeof(void *) - 1 columns, then a blank.
        write!(f, "{head:<73}{}", self.name)
    }
}

/// What /proc/PID/maps shows of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileText {
    /// Path.
    pub name: String,
    /// Device and inode.
    pub device_inode: String,
}

/// What names the VMAs that no object names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapsNames {
    /// The heap's bounds.
    pub brk: Brk,
    /// An address in the initial stack (`mm->start_stack`); 0 for none.
    pub start_stack: VirtAddr,
    /// The `[vsyscall]` page, which is in no tree, is shown.
    pub vsyscall: bool,
}

impl MapsNames {
    /// The name /proc/PID/maps gives a VMA that has no file. Source: `get_vma_name()`, fs/proc/task_mmu.c, 6.12.
    #[must_use]
    pub fn of(&self, vma: &Vma) -> &'static str {
        match vma.kind {
            VmaKind::Special(name) => name.as_str(),
            VmaKind::Anon if self.brk.names(vma) => "[heap]",
            VmaKind::Anon if self.is_stack(vma) => "[stack]",
            VmaKind::Anon | VmaKind::File(_) => "",
        }
    }

    fn is_stack(&self, vma: &Vma) -> bool {
        self.start_stack.0 != 0 && vma.start().addr() <= self.start_stack && self.start_stack <= vma.end().addr()
    }

    fn vsyscall_line() -> MapsLine {
        MapsLine {
            range: PageRange::page(VSYSCALL),
            prot: Prot::EXEC,
            shared: false,
            offset_bytes: 0,
            device_inode: MapsLine::NO_INODE.to_owned(),
            name: VSYSCALL_NAME.to_owned(),
        }
    }
}

const VSYSCALL_NAME: &str = "[vsyscall]";
const VSYSCALL: Vpn = Vpn(0xffff_ffff_ff60_0000 >> PAGE_SHIFT);

impl VmaTree {
    /// The lines of /proc/PID/maps, in order. `file` gives the text of an open file.
    #[must_use]
    pub fn maps_lines(&self, names: &MapsNames, mut file: impl FnMut(FileId) -> FileText) -> Vec<MapsLine> {
        let mut lines: Vec<MapsLine> = self.iter().map(|vma| line_of(vma, names, &mut file)).collect();
        if names.vsyscall {
            lines.push(MapsNames::vsyscall_line());
        }
        lines
    }
}

fn line_of(vma: &Vma, names: &MapsNames, file: &mut impl FnMut(FileId) -> FileText) -> MapsLine {
    let (text, offset_bytes) = match vma.kind {
        VmaKind::File(id) => (file(id), vma.pgoff.0 << PAGE_SHIFT),
        // The kernel hides the offset of what has no file.
        VmaKind::Anon | VmaKind::Special(_) => {
            (FileText { name: names.of(vma).to_owned(), device_inode: MapsLine::NO_INODE.to_owned() }, 0)
        }
    };
    MapsLine {
        range: vma.range,
        prot: vma.flags.prot(),
        shared: vma.flags.contains(VmFlags::MAYSHARE),
        offset_bytes,
        device_inode: text.device_inode,
        name: text.name,
    }
}

/// Why lines are no address space. The tree is left empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// A line starts below the end of the one before; carries its number, from 1.
    Disorder(usize),
    /// A line other than `[vsyscall]` reaches beyond user space; carries its number.
    BeyondUserSpace(usize),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Disorder(line) => write!(f, "line {line} overlaps the line before, or is below it"),
            LoadError::BeyondUserSpace(line) => write!(f, "line {line} is beyond the end of user space"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What loading lines found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Heap, stack and vsyscall. Without a `[heap]` line [`MapsNames::brk`] is zero: the first `brk(NULL)` tells it.
    pub names: MapsNames,
}

impl VmaTree {
    /// Replaces the VMAs with those of /proc/PID/maps. `file` gives the open file of a line: the same for lines of one
    /// file that may merge. `fresh` makes an `anon_vma`.
    ///
    /// Maps do not show all that keeps neighbours apart. Where two lines would merge by what they show, the upper gets
    /// what must be the reason: of private memory with a file, `VM_ACCOUNT`, which a part has kept that was writable once
    /// (relocations); of anonymous memory, each an `anon_vma` of its own.
    ///
    /// # Errors
    /// [`LoadError`]; the tree is empty then.
    pub fn load_maps(
        &mut self,
        lines: &[MapsLine],
        mut file: impl FnMut(&MapsLine) -> FileId,
        mut fresh: impl FnMut() -> AnonVmaId,
    ) -> Result<Loaded, LoadError> {
        self.clear();
        let mut names = MapsNames::default();
        let mut end = Vpn(0);
        for (n, line) in lines.iter().enumerate() {
            if line.name == VSYSCALL_NAME {
                names.vsyscall = true;
                continue;
            }
            if let Err(error) = check_place(line, end, n + 1) {
                self.clear();
                return Err(error);
            }
            end = line.range.end();
            note_name(line, &mut names);
            self.load_line(line, &mut file, &mut fresh);
        }
        Ok(Loaded { names })
    }

    fn load_line(
        &mut self,
        line: &MapsLine,
        file: &mut impl FnMut(&MapsLine) -> FileId,
        fresh: &mut impl FnMut() -> AnonVmaId,
    ) {
        let kind = kind_of(line, file);
        let mut flags = flags_of(line, kind) | VmFlags::SOFTDIRTY;
        let pgoff = match kind {
            VmaKind::File(_) => Pgoff(line.offset_bytes >> PAGE_SHIFT),
            VmaKind::Anon | VmaKind::Special(_) => Pgoff(line.range.start().0),
        };
        let below = self.ending_at(line.range.start()).filter(|below| {
            below.kind == kind && below.flags == flags && below.pgoff + below.range.nr_pages() == pgoff
        });
        let mut anon = None;
        if let Some(below) = below {
            match kind {
                VmaKind::Anon => {
                    if below.anon.is_none() {
                        self.set_anon(below.start(), Some(AnonLink::own(fresh())));
                    }
                    anon = Some(AnonLink::own(fresh()));
                }
                VmaKind::File(_) if !line.shared => flags.toggle(VmFlags::ACCOUNT),
                VmaKind::File(_) | VmaKind::Special(_) => {}
            }
        }
        self.insert(line.range, flags, kind, pgoff, anon);
    }
}

fn check_place(line: &MapsLine, end: Vpn, number: usize) -> Result<(), LoadError> {
    if line.range.start() < end {
        return Err(LoadError::Disorder(number));
    }
    if line.range.end().0 > TASK_SIZE / PAGE_SIZE {
        return Err(LoadError::BeyondUserSpace(number));
    }
    Ok(())
}

fn note_name(line: &MapsLine, names: &mut MapsNames) {
    match line.name.as_str() {
        "[heap]" => {
            // A heap can be of several VMAs.
            if names.brk.end.0 == 0 {
                names.brk.start = line.range.start().addr();
            }
            names.brk.end = line.range.end().addr();
        }
        "[stack]" => names.start_stack = VirtAddr(line.range.end().addr().0 - 1),
        _ => {}
    }
}

fn kind_of(line: &MapsLine, file: &mut impl FnMut(&MapsLine) -> FileId) -> VmaKind {
    match line.name.as_str() {
        "" | "[heap]" | "[stack]" => VmaKind::Anon,
        name if name.starts_with("[anon:") => VmaKind::Anon,
        name if name.starts_with('[') => VmaKind::Special(Name::new(name)),
        _ => VmaKind::File(file(line)),
    }
}

fn flags_of(line: &MapsLine, kind: VmaKind) -> VmFlags {
    let mut flags = VmFlags::from_prot(line.prot) | VmFlags::MAYREAD | VmFlags::MAYEXEC | VmFlags::MAYWRITE;
    if line.shared {
        // A read-only shared mapping of a file is mostly one opened for reading: such a VMA may never be written.
        flags |= VmFlags::MAYSHARE;
        flags.set(VmFlags::SHARED, line.prot.contains(Prot::WRITE));
        flags.set(VmFlags::MAYWRITE, line.prot.contains(Prot::WRITE));
    } else if line.prot.contains(Prot::WRITE) {
        flags |= VmFlags::ACCOUNT;
    }
    if line.name == "[stack]" {
        flags |= VmFlags::GROWSDOWN;
    }
    if let VmaKind::Special(name) = kind {
        flags |= VmFlags::DONTEXPAND;
        flags.set(VmFlags::PFNMAP, name.as_str().starts_with("[vvar"));
        flags.remove(VmFlags::ACCOUNT);
    }
    flags
}
