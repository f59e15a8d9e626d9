//! A small script over one address space, pages instead of bytes.
//!
//! A line is an operation: `mmap 10+5 rw [f0@3] [shared] [ro] [grows] [noreserve] [stack] [keep]`, `munmap 10+5`,
//! `mprotect 10+5 r`, `touch 12` (a write fault), `fork` (go on as the child), `brk 40`. Pages are relative to
//! [`BASE`]. After `=>` stands the error expected.

use crate::vma::{
    AnonLink, AnonMergeRule, AnonVmaId, Brk, BrkPlan, FileId, MapFlags, MmapArgs, MmapBacking, Mprotect, Placement,
    VmaKind, VmaTree, munmap_range,
};
use mm_types::{Errno, PAGE_SIZE, PageRange, Prot, VirtAddr, VmFlags, Vpn};

/// First page of the scripts' numbering.
pub(super) const BASE: u64 = 0x10_0000;

pub(super) struct World {
    pub(super) tree: VmaTree,
    pub(super) placement: Placement,
    pub(super) brk: Brk,
    next_anon: u32,
    next_file: u32,
}

impl World {
    pub(super) fn new(tree: VmaTree) -> World {
        let heap = addr(32);
        World {
            tree,
            placement: Placement::default(),
            brk: Brk { start: heap, end: heap },
            next_anon: 0,
            next_file: 100,
        }
    }

    #[track_caller]
    pub(super) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (op, expected) = match line.split_once("=>") {
                Some((op, error)) => (op, Err(Errno::from_name(error.trim()).expect("a known errno"))),
                None => (line, Ok(())),
            };
            assert_eq!(self.op(op), expected, "{line}");
            self.tree.validate();
        }
    }

    pub(super) fn op(&mut self, line: &str) -> Result<(), Errno> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["mmap", range, prot, ref rest @ ..] => self.mmap(pages(range), self::prot(prot), rest),
            ["munmap", range] => {
                let (start, len) = pages(range);
                self.tree.remove(munmap_range(addr(start), len * PAGE_SIZE)?).map(|_| ())
            }
            ["mprotect", range, prot] => self.mprotect(pages(range), self::prot(prot)),
            ["touch", page] => {
                self.touch(page.parse().expect("a page"));
                Ok(())
            }
            ["fork"] => {
                self.become_child();
                Ok(())
            }
            ["brk", page] => self.brk(addr(page.parse().expect("a page"))),
            _ => panic!("no such operation: {line}"),
        }
    }

    fn mmap(&mut self, (start, len): (u64, u64), prot: Prot, words: &[&str]) -> Result<(), Errno> {
        let mut flags = MapFlags::FIXED;
        let mut file = None;
        let mut offset = 0;
        for word in words {
            match *word {
                "shared" => flags |= MapFlags::SHARED,
                "grows" => flags |= MapFlags::GROWSDOWN,
                "noreserve" => flags |= MapFlags::NORESERVE,
                "stack" => flags |= MapFlags::STACK,
                "keep" => flags = flags.difference(MapFlags::FIXED) | MapFlags::FIXED_NOREPLACE,
                "ro" => {}
                word => {
                    let (name, page) = word.split_once('@').expect("file@page");
                    file = Some(FileId(name[1..].parse().expect("a file number")));
                    offset = page.parse::<u64>().expect("a page") * PAGE_SIZE;
                }
            }
        }
        if !flags.contains(MapFlags::SHARED) {
            flags |= MapFlags::PRIVATE;
        }
        let backing = match file {
            Some(file) => MmapBacking::File { file, readable: true, writable: !words.contains(&"ro") },
            None => {
                flags |= MapFlags::ANONYMOUS;
                MmapBacking::None
            }
        };
        let args =
            MmapArgs { addr: addr(start), len_bytes: len * PAGE_SIZE, prot, flags, backing, offset_bytes: offset };
        self.mmap_args(&args).map(|_| ())
    }

    pub(super) fn mmap_args(&mut self, args: &MmapArgs) -> Result<PageRange, Errno> {
        let next_file = &mut self.next_file;
        let plan = args.plan(&self.tree, &self.placement, VmFlags::empty(), || {
            *next_file += 1;
            FileId(*next_file)
        })?;
        let mapping = plan.mapping;
        self.tree.remove(mapping.range)?;
        let mapped = self.tree.map_new(mapping);
        assert!(mapped.vma.range().covers(mapping.range));
        assert_eq!(self.tree.find(mapping.range.start()), Some(&mapped.vma));
        if plan.populate && mapping.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE {
            self.prepare(mapping.range.start());
        }
        Ok(mapping.range)
    }

    pub(super) fn mprotect(&mut self, (start, len): (u64, u64), prot: Prot) -> Result<(), Errno> {
        self.mprotect_bytes(addr(start), len * PAGE_SIZE, prot)
    }

    pub(super) fn mprotect_bytes(&mut self, at: VirtAddr, len_bytes: u64, prot: Prot) -> Result<(), Errno> {
        let Some(mut walk) = Mprotect::new(at, len_bytes, prot.into())? else { return Ok(()) };
        while let Some(step) = walk.step(&mut self.tree)? {
            assert!(step.vma.range().covers(step.range));
            assert_eq!(self.tree.find(step.range.start()), Some(&step.vma));
            assert_eq!(step.vma.flags(), step.new);
            // Locked memory that becomes writable is populated.
            let locked = VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED;
            if step.old & locked == VmFlags::LOCKED && step.new.contains(VmFlags::WRITE) {
                self.prepare(step.range.start());
            }
        }
        Ok(())
    }

    fn touch(&mut self, page: u64) {
        self.prepare(Vpn(BASE + page));
    }

    pub(super) fn prepare(&mut self, vpn: Vpn) {
        let next = &mut self.next_anon;
        self.tree
            .anon_vma_prepare(vpn, || {
                *next += 1;
                AnonVmaId::new(*next)
            })
            .expect("the page is mapped");
    }

    /// What `anon_vma_fork()` does to the copies: an anon_vma of their own, and the parent's in the chain.
    fn become_child(&mut self) {
        let linked: Vec<Vpn> = self.tree.iter().filter(|v| v.anon().is_some()).map(|v| v.start()).collect();
        for start in linked {
            self.next_anon += 1;
            self.tree.set_anon(start, Some(AnonLink::inherited(AnonVmaId::new(self.next_anon))));
        }
    }

    fn brk(&mut self, to: VirtAddr) -> Result<(), Errno> {
        match self.tree.plan_brk(self.brk, to) {
            BrkPlan::Refused => return Err(Errno::ENOMEM),
            BrkPlan::SamePage => {}
            BrkPlan::Shrink(range) => drop(self.tree.remove(range)?),
            BrkPlan::Grow(range) => drop(self.tree.brk_expand(self.brk, range, VmFlags::empty())?),
        }
        self.brk.end = to;
        Ok(())
    }

    /// `10-15 rw, 15-20 r f0@3`: pages, access, file and offset, `S` for shared.
    pub(super) fn text(&self) -> String {
        let vmas = self.tree.iter().map(|vma| {
            let access: String = vma.flags().prot().to_string().chars().filter(|c| *c != '-').collect();
            let access = if access.is_empty() { "none".to_owned() } else { access };
            let shared = if vma.flags().contains(VmFlags::MAYSHARE) { " S" } else { "" };
            let file = match vma.kind() {
                VmaKind::File(FileId(n)) if n < 100 => format!(" f{n}@{}", vma.pgoff()),
                _ => String::new(),
            };
            format!("{}-{} {access}{file}{shared}", vma.start().0 - BASE, vma.end().0 - BASE)
        });
        vmas.collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn addr(page: u64) -> VirtAddr {
    Vpn(BASE + page).addr()
}

fn pages(text: &str) -> (u64, u64) {
    let (start, len) = text.split_once('+').expect("start+len");
    (start.parse().expect("a page"), len.parse().expect("a length"))
}

fn prot(text: &str) -> Prot {
    text.chars().fold(Prot::empty(), |prot, c| {
        prot | match c {
            'r' => Prot::READ,
            'w' => Prot::WRITE,
            'x' => Prot::EXEC,
            _ => Prot::empty(),
        }
    })
}

/// Runs a script in an empty address space and compares the VMAs, by the default rules.
#[track_caller]
pub(super) fn check(script: &str, expect: &str) {
    check_with(VmaTree::default(), script, expect);
}

/// [`check`] by the rules of 6.12.
#[track_caller]
pub(super) fn check_6_12(script: &str, expect: &str) {
    check_with(VmaTree::new(65_530, AnonMergeRule::NeighbourOnly), script, expect);
}

#[track_caller]
pub(super) fn check_with(tree: VmaTree, script: &str, expect: &str) {
    let mut world = World::new(tree);
    world.run(script);
    assert_eq!(world.text(), expect, "after\n{script}");
}
