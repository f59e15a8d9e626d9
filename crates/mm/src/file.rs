//! Files behind mappings, and their page cache of stand-in pages.
//!
//! What a file holds is not modelled: the page at an offset is a frame of its own, made at the first access.

use crate::frames::FrameFlags;
use crate::machine::Machine;
use crate::obj::mapping_obj;
use crate::vma::{FileId, FileText};
use ksync::{Kernel, RawRwSem, RwSem};
use mm_types::{Errno, Gfp, Name, Pfn, Pgoff};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The `&mapping->i_mmap_rwsem` of a file. Files have no reverse map yet: it is taken where the kernel's order has it.
pub(crate) type IMmap = Arc<RwSem<()>>;

#[derive(Default)]
pub(crate) struct FileTable {
    files: Vec<File>,
    inodes: Vec<Inode>,
    by_text: BTreeMap<(String, String), u32>,
    specials: BTreeMap<Name, FileId>,
}

struct File {
    inode: u32,
    text: FileText,
    shmem: bool,
}

struct Inode {
    i_mmap: IMmap,
    pages: BTreeMap<Pgoff, Pfn>,
}

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

    fn add(&mut self, inode: u32, text: FileText, shmem: bool) -> FileId {
        self.files.push(File { inode, text, shmem });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    fn add_inode(&mut self, machine: &Machine) -> u32 {
        let inode = u32::try_from(self.inodes.len()).unwrap_or(u32::MAX);
        let raw = RawRwSem::new(machine.classes.i_mmap, mapping_obj(inode));
        self.inodes.push(Inode { i_mmap: Arc::new(RwSem::from_raw(raw, ())), pages: BTreeMap::new() });
        inode
    }
}

impl Machine {
    /// `open()`: a `struct file` of its own each time; the same name, device and inode is the same page cache.
    pub fn open_file(&self, name: &str, device_inode: &str) -> FileId {
        let mut files = self.files.lock();
        let key = (name.to_owned(), device_inode.to_owned());
        let inode = match files.by_text.get(&key) {
            Some(inode) => *inode,
            None => {
                let inode = files.add_inode(self);
                files.by_text.insert(key, inode);
                inode
            }
        };
        files.add(inode, FileText { name: name.to_owned(), device_inode: device_inode.to_owned() }, false)
    }

    /// The file behind a shared anonymous mapping (`shmem_zero_setup()`).
    pub(crate) fn shmem_file(&self) -> FileId {
        let mut files = self.files.lock();
        let inode = files.add_inode(self);
        let text = FileText { name: DEV_ZERO.to_owned(), device_inode: format!("00:01 {}", inode + 1) };
        files.add(inode, text, true)
    }

    /// The object behind mappings that the kernel installs under a name (`[vdso]`).
    pub(crate) fn special_file(&self, name: Name) -> FileId {
        if let Some(id) = self.files.lock().specials.get(&name) {
            return *id;
        }
        let id = self.open_file(name.as_str(), "");
        *self.files.lock().specials.entry(name).or_insert(id)
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
        self.files.lock().file(id).shmem
    }

    /// The lock of the file's mappings, with the number of its inode.
    pub(crate) fn i_mmap(&self, id: FileId) -> (u32, IMmap) {
        let files = self.files.lock();
        let inode = files.file(id).inode;
        (inode, Arc::clone(&files.inodes[inode as usize].i_mmap))
    }

    /// The page of a file, with a reference for the caller; made on first use, when it also may sleep and reclaim.
    pub(crate) fn file_page(&self, k: &Kernel, id: FileId, pgoff: Pgoff) -> Result<Pfn, Errno> {
        if let Some(pfn) = self.cached(id, pgoff) {
            self.get_page(k, pfn);
            return Ok(pfn);
        }
        let pfn = self.alloc_page(k, Gfp::USER)?;
        let winner = {
            let mut files = self.files.lock();
            let inode = files.file(id).inode as usize;
            *files.inodes[inode].pages.entry(pgoff).or_insert(pfn)
        };
        if winner == pfn {
            self.with_frame(pfn, |f| {
                f.flags |= FrameFlags::FILE;
                f.index = pgoff;
            });
        } else {
            // Another task was faster while this one allocated.
            self.put_page(k, pfn);
        }
        self.get_page(k, winner);
        Ok(winner)
    }

    fn cached(&self, id: FileId, pgoff: Pgoff) -> Option<Pfn> {
        let files = self.files.lock();
        files.inodes[files.file(id).inode as usize].pages.get(&pgoff).copied()
    }
}
