//! Kernel operations of a scenario's tasks: one line each from a statement to the call.

use crate::compile::OpOperand;
use crate::compile::OpOperand::{Mm, Number, Range, Text, Word};
use crate::request;
use crate::world::Live;
use ksync::current;
use mm::vma::MremapFlags;
use mm::{Advice, MsyncFlags, OOM_SCORE_ADJ_MAX, PageCategories, UffdMode};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Pgoff, VirtAddr, Vpn};
use scenario::{MmOp, Word as _};

/// Does one operation, which is at `frame` in its scenario.
///
/// # Errors
/// What it returned, for a note.
pub(crate) fn execute(live: &Live, frame: Name, op: MmOp, operands: &[OpOperand]) -> Result<(), String> {
    let failed = |errno: Errno| format!("{} failed: {errno}", op.word());
    let machine = live.machine();
    match (op, operands) {
        (MmOp::Madvise, [Mm(mm), Range(pages), Word(advice)]) => {
            let advice = Advice::from_word(advice).ok_or_else(|| format!("unknown advice {advice}"))?;
            live.mm(*mm)?.madvise(pages.start().addr(), bytes(*pages), advice).map_err(failed)
        }
        (MmOp::Mremap, [Mm(mm), old, new, how @ ..]) => mremap(live, *mm, old, new, !how.is_empty()).map_err(failed)?,
        (MmOp::Mlock, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.mlock(pages.start().addr(), bytes(*pages)).map_err(failed)
        }
        (MmOp::Munlock, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.munlock(pages.start().addr(), bytes(*pages)).map_err(failed)
        }
        (MmOp::Msync, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.msync(pages.start().addr(), bytes(*pages), MsyncFlags::SYNC).map_err(failed)
        }
        (MmOp::Fork, [Mm(parent), Mm(child)]) => fork(live, *parent, *child),
        (MmOp::Exec, [Mm(mm)]) => exec(live, *mm),
        (MmOp::GupWrite, [Mm(mm), Number(addr), how @ ..]) => {
            let vpn = VirtAddr(*addr).vpn();
            live.mm(*mm)?.access_remote_write(vpn, *addr, !how.is_empty()).map_err(failed)
        }
        (MmOp::RemapFilePages, [Mm(mm), Range(pages), Number(pgoff)]) => {
            live.mm(*mm)?.remap_file_pages(*pages, Pgoff(*pgoff)).map_err(failed)
        }
        (MmOp::Truncate, [Text(file), Number(size)]) => machine.truncate(file.as_str(), *size).map_err(failed),
        (MmOp::PunchHole, [Text(file), Number(offset), Number(len)]) => {
            machine.punch_hole_named(file.as_str(), *offset, *len).map_err(failed)
        }
        (MmOp::DirectWrite, [Text(file), Number(offset), Number(len)]) => {
            machine.direct_write(file.as_str(), *offset, *len).map_err(failed)
        }
        (MmOp::WpShared, [Text(file), Number(offset), Number(len)]) => {
            machine.wp_shared(file.as_str(), *offset, *len).map(drop).map_err(failed)
        }
        (MmOp::Fsync, [Text(file)]) => machine.fsync(file.as_str()).map_err(failed),
        (MmOp::Writeback, [Text(file)]) => machine.writeback_work(file.as_str()).map_err(failed),
        (MmOp::ClearRefs, [Mm(mm), Number(what)]) => live.mm(*mm)?.clear_refs(*what).map_err(failed),
        (MmOp::PagemapScan, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.pagemap_scan(*pages);
            Ok(())
        }
        (MmOp::CheckPages, [Mm(mm), Range(pages), Word(relation), Word(category)]) => {
            check_pages(live, frame, *mm, *pages, (relation, category))
        }
        (MmOp::CheckWord, [Mm(mm), Number(addr), Word(relation), Number(value)]) => {
            check_word(live, frame, *mm, VirtAddr(*addr), (relation, *value))
        }
        (MmOp::UffdRegister, [Mm(mm), Range(pages), Word(mode)]) => {
            let mode = if mode == "wp" { UffdMode::WriteProtect } else { UffdMode::Missing };
            live.mm(*mm)?.uffd_register(*pages, mode).map_err(failed)
        }
        (MmOp::UffdUnregister, [Mm(mm), Range(pages)]) => live.mm(*mm)?.uffd_unregister(*pages).map_err(failed),
        (MmOp::UffdWriteprotect, [Mm(mm), Range(pages), Word(how)]) => {
            live.mm(*mm)?.uffd_writeprotect(*pages, how == "set").map_err(failed)
        }
        (MmOp::UffdCopy, [Mm(mm), Range(pages)]) => live.mm(*mm)?.uffd_fill(*pages, true).map_err(failed),
        (MmOp::UffdZeropage, [Mm(mm), Range(pages)]) => live.mm(*mm)?.uffd_fill(*pages, false).map_err(failed),
        (MmOp::UffdMove, [Mm(mm), Range(to), Number(from)]) => {
            live.mm(*mm)?.uffd_move(*to, VirtAddr(*from)).map_err(failed)
        }
        (MmOp::MovePages, [Mm(mm), Range(pages), Number(node)]) => {
            live.mm(*mm)?.move_pages(*pages, *node).map(drop).map_err(failed)
        }
        (MmOp::NumaScan, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.numa_scan(*pages);
            Ok(())
        }
        (MmOp::OomReap, [Mm(mm)]) => match live.mm(*mm)?.oom_reap() {
            true => Ok(()),
            false => Err("oom_reap: a subscriber refused to the end".to_owned()),
        },
        (MmOp::ProcessMrelease, [Mm(mm)]) => live.mm(*mm)?.process_mrelease().map_err(failed),
        (MmOp::OomKill, []) => request::oom_kill(live),
        (MmOp::OomScoreAdj, [Mm(mm), Number(adj), minus @ ..]) => {
            let adj = i16::try_from(*adj).unwrap_or(OOM_SCORE_ADJ_MAX);
            live.mm(*mm)?.set_oom_score_adj(if minus.is_empty() { adj } else { -adj });
            Ok(())
        }
        (MmOp::DropSlab, []) => {
            machine.drop_slab();
            Ok(())
        }
        (MmOp::CompactMemory, []) => request::compact_memory(live),
        (MmOp::CompactUntil, [Mm(mm), Number(addr)]) => request::compact_until(live, *mm, VirtAddr(*addr).vpn()),
        (MmOp::MemoryFailure, [Mm(mm), Number(addr)]) => {
            live.mm(*mm)?.memory_failure(VirtAddr(*addr).vpn()).map_err(failed)
        }
        (MmOp::SoftOffline, [Mm(mm), Number(addr)]) => {
            live.mm(*mm)?.soft_offline(VirtAddr(*addr).vpn()).map_err(failed)
        }
        (MmOp::UprobeInsert, [Text(file), Number(offset)]) => {
            machine.uprobe_insert(file.as_str(), *offset).map_err(failed)
        }
        (MmOp::UprobeRemove, [Text(file), Number(offset)]) => {
            machine.uprobe_remove(file.as_str(), *offset).map_err(failed)
        }
        (MmOp::PageIdle, [Mm(mm), Number(addr)]) => live.mm(*mm)?.page_idle(VirtAddr(*addr).vpn()).map_err(failed),
        (MmOp::Age, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.age(*pages);
            Ok(())
        }
        (MmOp::LruGenAge, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.lru_gen_age(*pages);
            Ok(())
        }
        (MmOp::LruGenWalk, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.lru_gen_walk(*pages);
            Ok(())
        }
        (MmOp::SplitHugePages, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.split_huge_pages(*pages).map(drop).map_err(failed)
        }
        (MmOp::Khugepaged, [Mm(mm), Range(pages)]) => {
            live.mm(*mm)?.khugepaged(*pages);
            Ok(())
        }
        (MmOp::KsmScan, how) => {
            machine.ksm_scan(!how.is_empty());
            Ok(())
        }
        (MmOp::KsmUnmerge, []) => machine.ksm_unmerge().map_err(failed),
        (MmOp::Damon, [Mm(mm), Number(addr), Word(space), Word(what)]) => {
            let (mm, vpn, check) = (live.mm(*mm)?, VirtAddr(*addr).vpn(), what == "check");
            if space == "vaddr" {
                mm.damon_vaddr(vpn, check)
            } else {
                mm.damon_paddr(vpn, check)
            };
            Ok(())
        }
        _ => Err(format!("{} does not take these operands", op.word())),
    }
}

fn bytes(pages: PageRange) -> u64 {
    pages.nr_pages() * PAGE_SIZE
}

fn mremap(
    live: &Live,
    mm: usize,
    old: &OpOperand,
    new: &OpOperand,
    dontunmap: bool,
) -> Result<Result<(), String>, Errno> {
    let mm = match live.mm(mm) {
        Ok(mm) => mm,
        Err(why) => return Ok(Err(why)),
    };
    let (addr, old_len) = match old {
        Range(pages) => (pages.start().addr(), bytes(*pages)),
        Number(addr) => (VirtAddr(*addr), 0),
        _ => return Err(Errno::EINVAL),
    };
    let (new_addr, new_len, mut flags) = match new {
        Range(pages) => (Some(pages.start().addr()), bytes(*pages), MremapFlags::MAYMOVE | MremapFlags::FIXED),
        Number(len) => (None, *len, MremapFlags::empty()),
        _ => return Err(Errno::EINVAL),
    };
    flags.set(MremapFlags::DONTUNMAP, dontunmap);
    mm.mremap(addr, old_len, new_len, flags, new_addr, None).map(|_| Ok(()))
}

/// Looks at every page; the first that is otherwise than said is a finding.
fn check_pages(
    live: &Live,
    frame: Name,
    mm: usize,
    pages: PageRange,
    (relation, word): (&str, &str),
) -> Result<(), String> {
    let category = PageCategories::from_word(word).ok_or_else(|| format!("unknown category {word}"))?;
    let known = live.mm(mm)?.page_categories(pages);
    let wrong = |(_, is): &(Vpn, PageCategories)| is.contains(category) != (relation == "is");
    if let Some((vpn, _)) = pages.iter().zip(known).find(wrong) {
        let text = format!("{} {} {relation} {word}", live.code.mms[mm].name, vpn.addr());
        current(|k| live.failed(k, frame, MmOp::CheckPages.word(), &text));
    }
    Ok(())
}

/// A CPU reads a word; another value than said is a finding.
fn check_word(
    live: &Live,
    frame: Name,
    mm: usize,
    addr: VirtAddr,
    (relation, value): (&str, u64),
) -> Result<(), String> {
    let word = live.mm(mm)?.read(addr).map_err(|fault| format!("check_word {addr}: {fault}"))?;
    if (word == value) != (relation == "is") {
        let text = format!("{} {addr} {relation} {value:#x}", live.code.mms[mm].name);
        current(|k| live.failed(k, frame, MmOp::CheckWord.word(), &text));
    }
    Ok(())
}

/// The child's devices exist from here on.
fn fork(live: &Live, parent: usize, child: usize) -> Result<(), String> {
    let name = live.code.mms[child].name;
    let parent = live.mm(parent)?;
    current(|k| {
        let forked = parent.fork(k, name).map_err(|errno| format!("fork failed: {errno}"))?;
        live.set_mm(k, child, forked);
        Ok(())
    })
}

/// The process goes on in an empty address space of the same name; the devices stay with the old one.
fn exec(live: &Live, mm: usize) -> Result<(), String> {
    let name = live.code.mms[mm].name;
    let old = live.mm(mm)?;
    current(|k| {
        let new = old.exec(k, name, &[]).map_err(|error| format!("exec failed: {error:?}"))?;
        live.replace_mm(mm, new);
        Ok(())
    })
}
