//! /proc/PID/maps: reading an address space's, and building one from it.

use crate::mm::Mm;
use crate::vma::{FileId, LoadError, MapsLine};
use ksync::current;
use std::collections::BTreeMap;

impl Mm {
    /// The lines of /proc/PID/maps, without a scheduling point.
    #[must_use]
    pub fn maps(&self) -> Vec<MapsLine> {
        let inner = self.inner.lock();
        inner.tree.maps_lines(&inner.names, |file| self.machine.file_text(file))
    }

    /// Starts from recorded mappings: replaces the VMAs of an address space that has none in use. Each file named is
    /// opened once, however many lines it has.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is mapped then.
    ///
    /// Context: setup, or a task that alone uses the address space.
    pub fn load_maps(&self, lines: &[MapsLine]) -> Result<(), LoadError> {
        current(|k| {
            let machine = &self.machine;
            let mut opened = BTreeMap::<(String, String), FileId>::new();
            let loaded = {
                let mut inner = self.inner.lock();
                let loaded = inner.tree.load_maps(
                    lines,
                    |line| {
                        let key = (line.name.clone(), line.device_inode.clone());
                        *opened.entry(key).or_insert_with(|| machine.open_file(&line.name, &line.device_inode))
                    },
                    || machine.new_anon_vma(k),
                )?;
                inner.names = loaded.names;
                loaded
            };
            let _ = loaded;
            self.vma_resync(k);
            Ok(())
        })
    }
}
