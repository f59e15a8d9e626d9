//! Address spaces: mappings apart from each other, touches inside them.

use super::Checker;
use crate::ast::{Backing, Mm, Vma};
use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};
use mm_types::{PageRange, Vpn};

impl Checker<'_> {
    pub(super) fn mms(&mut self) {
        for mm in &self.scenario.mms {
            self.overlaps(mm);
            mm.vmas.iter().for_each(|vma| self.alignment(vma));
            // A mapping that was given up may have been what a touch lies in.
            if !self.lost.has_word("vma") {
                self.touches(mm);
            }
        }
    }

    fn overlaps(&mut self, mm: &Mm) {
        for (i, vma) in mm.vmas.iter().enumerate() {
            let earlier = mm.vmas[..i].iter().find(|v| v.range.overlaps(vma.range.node));
            if let Some(earlier) = earlier {
                self.report(
                    Diagnostic::new(vma.range.span, "this mapping overlaps another one")
                        .secondary(earlier.range.span, "this one"),
                );
            }
        }
    }

    /// Memory of huge pages has whole ones.
    fn alignment(&mut self, vma: &Vma) {
        let (unit, what, offset) = match vma.mapping.node.backing {
            Backing::Hugetlb { offset, .. } => (1 << 9, "hugetlb maps whole pages of 2 MiB", offset),
            Backing::Dax { offset, .. } => (1 << 18, "dax maps whole GiB", offset),
            Backing::Anon | Backing::File { .. } => return,
        };
        let range = vma.range.node;
        if [range.start().0, range.end().0].iter().any(|page| page % unit != 0) {
            self.report(Diagnostic::new(vma.range.span, what).label("begins or ends inside of one"));
        }
        if offset.0 % unit != 0 {
            self.report(Diagnostic::new(vma.mapping.span, what).label("its offset is inside of one"));
        }
    }

    fn touches(&mut self, mm: &Mm) {
        for touch in &mm.touches {
            if let Some(hole) = first_unmapped(touch.node, &mm.vmas) {
                let message = format!("{} is in no mapping of `{}`", hole.addr(), mm.name.node);
                self.report(mapped_nowhere(touch.span, message, &mm.vmas));
            }
        }
    }
}

fn mapped_nowhere(span: Span, message: String, vmas: &[Spanned<Vma>]) -> Diagnostic {
    let diagnostic = Diagnostic::new(span, message).label("touched here");
    match vmas {
        [] => diagnostic.help("this mm has no `vma`".to_owned()),
        _ => diagnostic.help("only mapped pages can be touched".to_owned()),
    }
}

/// The first page of `range` that none of `vmas` maps.
fn first_unmapped(range: PageRange, vmas: &[Spanned<Vma>]) -> Option<Vpn> {
    let mut mapped: Vec<PageRange> = vmas.iter().map(|v| v.range.node).collect();
    mapped.sort();
    let mut next = range.start();
    for vma in mapped {
        if vma.contains(next) {
            next = vma.end();
        }
    }
    (next < range.end()).then_some(next)
}
