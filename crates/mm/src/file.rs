//! Files behind mappings: what is open, and what it is called.

use crate::content::Content;
use crate::file_locks::Fs;
use crate::frames::Frames;
use crate::machine::Machine;
use crate::obj::{InodeObj, inode_obj, mapping_obj};
use crate::page_cache::{IMmap, Mappings, Pages};
use crate::vma::{FileId, FileText};
use ksync::{LockClass, RawRwSem, RwSem, current};
use mm_types::{Errno, MmId, Name, PAGE_SIZE, PageRange, Pfn, Pgoff, VmFlags};
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::LockKind;

/// A file, however often it is open.
pub(crate) type Inode = u32;

#[derive(Default)]
pub(crate) struct FileTable {
    files: Vec<File>,
    inodes: Vec<AddressSpace>,
    by_text: BTreeMap<(String, String), Inode>,
    specials: BTreeMap<Name, FileId>,
}

/// What is behind an open file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A file on a disk.
    Disk,
    /// A memory file system, of which shared anonymous memory is a file: zeros until it is written. What reclaim takes from
    /// it is kept without a slot of the swap device.
    Shmem,
    /// hugetlbfs: huge pages of zeros.
    Hugetlb,
    /// device-dax: memory of a device, which no page cache is in front of.
    Dax,
    /// Pages of the kernel's own.
    Special,
}

struct File {
    inode: Inode,
    text: FileText,
    behind: Behind,
}

/// `struct address_space`.
struct AddressSpace {
    i_mmap: IMmap,
    pages: Pages,
    /// What its contents are made from; 0 is a file of zeros.
    seed: u64,
    /// Its length in bytes (`i_size`); a file on a disk is as long as anybody wants until it is truncated.
    size_bytes: u64,
    /// Nobody may write it any more (`F_SEAL_WRITE`).
    write_sealed: bool,
    locks: InodeLocks,
}

/// The locks of an inode besides that of its mappings.
#[derive(Clone)]
pub(crate) struct InodeLocks {
    pub(crate) fs: Fs,
    /// `inode->i_rwsem`.
    pub(crate) i_rwsem: Arc<RwSem<()>>,
    /// `mapping->invalidate_lock`.
    pub(crate) invalidate_lock: Arc<RwSem<()>>,
}

impl InodeLocks {
    /// Class names carry the recorded kernel's numbers, as those of `file_locks.rs`.
    fn new(inode: Inode, fs: Fs) -> InodeLocks {
        let name = match fs {
            Fs::Tmpfs => "&sb->s_type->i_mutex_key#8",
            Fs::Hugetlbfs => "&sb->s_type->i_mutex_key#9",
            _ => "&sb->s_type->i_mutex_key#7",
        };
        let rwsem = |name, what| {
            let class = current(|k| k.class(LockClass::new(name, LockKind::RwSem)));
            Arc::new(RwSem::from_raw(RawRwSem::new(class, inode_obj(inode, what)), ()))
        };
        InodeLocks {
            fs,
            i_rwsem: rwsem(name, InodeObj::IRwsem),
            invalidate_lock: rwsem("mapping.invalidate_lock#2", InodeObj::InvalidateLock),
        }
    }
}

/// What tells a memory file system's files from those on a disk.
const TMPFS: &str = "tmpfs";

/// What tells files of hugetlbfs.
const HUGETLBFS: &str = "hugetlbfs";

/// What tells devices with memory of their own (/dev/daxN).
const DAX: &str = "dax";

/// Name and inode of shared anonymous memory in /proc/PID/maps.
const DEV_ZERO: &str = "/dev/zero (deleted)";

impl FileTable {
    pub(crate) fn clear(&mut self) {
        *self = FileTable::default();
    }

    fn file(&self, id: FileId) -> &File {
        match self.files.get(id.0 as usize) {
            Some(file) => file,
            None => panic!("no file {} was opened", id.0),
        }
    }

    fn add(&mut self, inode: Inode, text: FileText, behind: Behind) -> FileId {
        self.files.push(File { inode, text, behind });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    fn add_inode(&mut self, machine: &Machine, seed: u64, behind: Behind, size_bytes: u64) -> Inode {
        let inode = u32::try_from(self.inodes.len()).unwrap_or(u32::MAX);
        let classes = &machine.classes;
        let class = if behind == Behind::Hugetlb { classes.hugetlb_i_mmap } else { classes.i_mmap };
        let raw = RawRwSem::new(class, mapping_obj(inode));
        let i_mmap = Arc::new(RwSem::from_raw(raw, Mappings::default()));
        let fs = match behind {
            Behind::Shmem => Fs::Tmpfs,
            Behind::Hugetlb => Fs::Hugetlbfs,
            Behind::Disk | Behind::Dax | Behind::Special => Fs::Disk,
        };
        let locks = InodeLocks::new(inode, fs);
        self.inodes.push(AddressSpace {
            i_mmap,
            pages: Pages::default(),
            seed,
            size_bytes,
            write_sealed: false,
            locks,
        });
        inode
    }

    pub(crate) fn pages(&mut self, inode: Inode) -> &mut Pages {
        &mut self.inodes[inode as usize].pages
    }

    pub(crate) fn inode(&self, id: FileId) -> Inode {
        self.file(id).inode
    }

    pub(crate) fn i_mmap(&self, inode: Inode) -> IMmap {
        Arc::clone(&self.inodes[inode as usize].i_mmap)
    }

    /// The size in bytes is `bytes` from now on. Gives what it was.
    pub(crate) fn set_size(&mut self, inode: Inode, bytes: u64) -> u64 {
        std::mem::replace(&mut self.inodes[inode as usize].size_bytes, bytes)
    }

    /// A file that is open on the inode.
    pub(crate) fn some_file(&self, inode: Inode) -> Option<FileId> {
        let at = self.files.iter().position(|file| file.inode == inode)?;
        u32::try_from(at).ok().map(FileId)
    }

    /// A page leaves the page cache for good: a hole of zeros is there now. Whether it was in it.
    pub(crate) fn forget_page(&mut self, inode: Inode, at: Pgoff, pfn: Pfn) -> bool {
        let space = &mut self.inodes[inode as usize];
        if space.pages.cached.get(&at) != Some(&pfn) {
            return false;
        }
        space.pages.cached.remove(&at);
        if space.seed != 0 {
            space.pages.stored.insert(at, Content::ZERO);
        }
        true
    }

    /// What is kept of pages `[first, end)` that are not in memory is zeros from now on.
    pub(crate) fn zero_stored(&mut self, inode: Inode, first: Pgoff, end: Pgoff) {
        let space = &mut self.inodes[inode as usize];
        if space.seed == 0 {
            space.pages.stored.retain(|pgoff, _| *pgoff < first || *pgoff >= end);
        } else {
            space.pages.stored.range_mut(first..end).for_each(|(_, stored)| *stored = Content::ZERO);
        }
    }

    /// Bytes of a page that is not in memory are zeros from now on.
    pub(crate) fn zero_part_stored(&mut self, id: FileId, pgoff: Pgoff, (from, to): (u64, u64)) {
        let old = self.contents(id, pgoff);
        let new = old.clone().with_zeros(from, to);
        if new != old {
            let inode = self.file(id).inode;
            self.inodes[inode as usize].pages.stored.insert(pgoff, new);
        }
    }

    /// What the page at an offset holds that is not in memory.
    pub(crate) fn contents(&self, id: FileId, pgoff: Pgoff) -> Content {
        let space = &self.inodes[self.file(id).inode as usize];
        let made = || if space.seed == 0 { 0 } else { fold(space.seed, &pgoff.0.to_le_bytes()) };
        space.pages.stored.get(&pgoff).cloned().unwrap_or_else(|| Content::Same(made()))
    }

    /// Whether its mappings are listed, so that its pages can be found by reclaim and migration.
    pub(crate) fn has_reverse_map(&self, id: FileId) -> bool {
        self.file(id).behind != Behind::Special
    }

    /// Whether its pages are on the list that reclaim looks at.
    pub(crate) fn is_reclaimable(&self, id: FileId) -> bool {
        self.file(id).behind != Behind::Special
    }

    fn open(&mut self, machine: &Machine, text: FileText, behind: Behind) -> FileId {
        let key = (text.name.clone(), text.device_inode.clone());
        let inode = match self.by_text.get(&key) {
            Some(inode) => *inode,
            None => {
                let named = fold(fold(FNV_OFFSET, text.name.as_bytes()), text.device_inode.as_bytes());
                let seed = if behind == Behind::Hugetlb { 0 } else { named };
                let inode = self.add_inode(machine, seed, behind, u64::MAX);
                self.by_text.insert(key, inode);
                inode
            }
        };
        self.add(inode, text, behind)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: what files hold must be the same in every run and build.
fn fold(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

impl Machine {
    /// `open()`: a `struct file` of its own each time; the same name, device and inode is the same page cache.
    pub fn open_file(&self, name: &str, device_inode: &str) -> FileId {
        let text = FileText { name: name.to_owned(), device_inode: device_inode.to_owned() };
        self.files.lock().open(self, text, Behind::Disk)
    }

    /// `memfd_create()`: an empty file of memory, open for reading and writing.
    pub fn memfd(&self, name: &str) -> FileId {
        let mut files = self.files.lock();
        let inode = files.add_inode(self, 0, Behind::Shmem, 0);
        let text = FileText { name: format!("/memfd:{name} (deleted)"), device_inode: format!("00:01 {}", inode + 1) };
        files.add(inode, text, Behind::Shmem)
    }

    /// `fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)` of a file of memory: it is not written any more, by nobody.
    ///
    /// # Errors
    /// `EINVAL` for another kind of file, `EBUSY` while a shared mapping of it may be written.
    ///
    /// Source: `memfd_add_seals()`, mm/memfd.c, 6.12.
    pub fn seal_write(&self, id: FileId) -> Result<(), Errno> {
        if !self.is_shmem(id) {
            return Err(Errno::EINVAL);
        }
        let (inode, i_mmap) = {
            let files = self.files.lock();
            let inode = files.inode(id);
            (inode, files.i_mmap(inode))
        };
        let listed = i_mmap.read().walk_range(Pgoff(0), Pgoff(u64::MAX >> 12));
        let may_write = |(mm, part): &(MmId, PageRange)| {
            let vma = self.mm(*mm).and_then(|mm| mm.find_vma(part.start()));
            vma.is_some_and(|vma| vma.flags().contains(VmFlags::SHARED | VmFlags::MAYWRITE))
        };
        if listed.iter().any(may_write) {
            return Err(Errno::EBUSY);
        }
        self.files.lock().inodes[inode as usize].write_sealed = true;
        Ok(())
    }

    /// Whether nobody may write the file.
    pub(crate) fn is_write_sealed(&self, id: FileId) -> bool {
        let files = self.files.lock();
        files.inodes[files.inode(id) as usize].write_sealed
    }

    /// Opens the file behind `id` again: another `struct file`, the same pages.
    pub fn reopen(&self, id: FileId) -> FileId {
        let mut files = self.files.lock();
        let File { inode, ref text, behind } = *files.file(id);
        let text = text.clone();
        files.add(inode, text, behind)
    }

    /// The length of a file, bytes.
    #[must_use]
    pub fn file_size(&self, id: FileId) -> u64 {
        let files = self.files.lock();
        files.inodes[files.file(id).inode as usize].size_bytes
    }

    pub(crate) fn set_file_size(&self, id: FileId, size_bytes: u64) {
        let mut files = self.files.lock();
        let inode = files.file(id).inode;
        files.set_size(inode, size_bytes);
    }

    /// The pages a file has, the last one perhaps in part.
    pub(crate) fn file_pages(&self, id: FileId) -> u64 {
        self.file_size(id).div_ceil(PAGE_SIZE)
    }

    /// The file behind a shared anonymous mapping (`shmem_zero_setup()`).
    pub(crate) fn shmem_file(&self, size_bytes: u64) -> FileId {
        let mut files = self.files.lock();
        let inode = files.add_inode(self, 0, Behind::Shmem, size_bytes);
        let text = FileText { name: DEV_ZERO.to_owned(), device_inode: format!("00:01 {}", inode + 1) };
        files.add(inode, text, Behind::Shmem)
    }

    /// `open()` of a file of a memory file system: a `struct file` of its own each time; the same name is the same file.
    pub fn open_shmem(&self, name: &str) -> FileId {
        let text = FileText { name: name.to_owned(), device_inode: TMPFS.to_owned() };
        self.files.lock().open(self, text, Behind::Shmem)
    }

    /// `open()` of a file of hugetlbfs.
    pub fn open_hugetlb(&self, name: &str) -> FileId {
        let text = FileText { name: name.to_owned(), device_inode: HUGETLBFS.to_owned() };
        self.files.lock().open(self, text, Behind::Hugetlb)
    }

    /// The file behind a mapping of huge pages that has no file (`MAP_HUGETLB | MAP_ANONYMOUS`).
    pub fn hugetlb_file(&self, size_bytes: u64) -> FileId {
        let mut files = self.files.lock();
        let inode = files.add_inode(self, 0, Behind::Hugetlb, size_bytes);
        let text =
            FileText { name: "/anon_hugepage (deleted)".to_owned(), device_inode: format!("00:0f {}", inode + 1) };
        files.add(inode, text, Behind::Hugetlb)
    }

    /// `open()` of a device with memory of its own that is mapped a GiB at a time.
    pub fn open_dax(&self, name: &str) -> FileId {
        let text = FileText { name: name.to_owned(), device_inode: DAX.to_owned() };
        self.files.lock().open(self, text, Behind::Dax)
    }

    /// Whether it is such a device.
    pub(crate) fn is_dax(&self, id: FileId) -> bool {
        self.files.lock().file(id).behind == Behind::Dax
    }

    /// The frame of a page of a device; `None` beyond its end.
    pub(crate) fn dax_frame(&self, id: FileId, at: Pgoff) -> Option<Pfn> {
        Frames::dax(self.inode(id), at)
    }

    /// Whether it is a file of hugetlbfs.
    pub(crate) fn is_hugetlb(&self, id: FileId) -> bool {
        self.files.lock().file(id).behind == Behind::Hugetlb
    }

    /// The inode of a file that somebody has opened.
    ///
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn inode_named(&self, name: &str) -> Result<Inode, Errno> {
        let files = self.files.lock();
        let key = |device: &str| (name.to_owned(), device.to_owned());
        let found = ["", TMPFS, HUGETLBFS].iter().find_map(|device| files.by_text.get(&key(device)));
        found.copied().ok_or(Errno::ENOENT)
    }

    /// Which of the files that a page can be of are in memory alone.
    pub(crate) fn is_in_memory(&self) -> impl Fn(Inode) -> bool + '_ {
        let files = self.files.lock();
        move |inode| files.inodes[inode as usize].locks.fs == Fs::Tmpfs
    }

    /// The locks of an inode.
    pub(crate) fn inode_locks(&self, inode: Inode) -> InodeLocks {
        self.files.lock().inodes[inode as usize].locks.clone()
    }

    /// The object behind mappings that the kernel installs under a name (`[vdso]`).
    pub(crate) fn special_file(&self, name: Name) -> FileId {
        let mut files = self.files.lock();
        if let Some(id) = files.specials.get(&name) {
            return *id;
        }
        let text = FileText { name: name.as_str().to_owned(), device_inode: String::new() };
        let id = files.open(self, text, Behind::Special);
        files.specials.insert(name, id);
        id
    }

    /// What /proc/PID/maps prints of a file.
    ///
    /// # Panics
    /// When the file was not opened on this machine.
    #[must_use]
    pub fn file_text(&self, id: FileId) -> FileText {
        self.files.lock().file(id).text.clone()
    }

    /// Whether it is shared anonymous memory, whose pages need no notice before a write.
    pub(crate) fn is_shmem(&self, id: FileId) -> bool {
        self.files.lock().file(id).behind == Behind::Shmem
    }

    pub(crate) fn inode(&self, id: FileId) -> Inode {
        self.files.lock().file(id).inode
    }

    /// The lock of the file's mappings, with the number of its inode.
    pub(crate) fn i_mmap(&self, id: FileId) -> (Inode, IMmap) {
        let files = self.files.lock();
        let inode = files.file(id).inode;
        (inode, files.i_mmap(inode))
    }
}
