//! Numbers, addresses, ranges, protections, flags. A value that is wrong but readable is reported
//! and replaced by one that fits.

use super::{Parsed, Parser};
use crate::ast::{Backing, Mapping, Name, Sharing};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::span::{Span, Spanned};
use crate::suggest;
use crate::words::{BackingWord, Word};
use mm_types::{Gfp, PAGE_SIZE, PageRange, Pgoff, Prot, TASK_SIZE, VirtAddr, Vpn};

const RANGE: &str = "an address range such as `0x10000..0x12000`";

/// The protections, as written.
pub(crate) const PROTS: [(&str, Prot); 8] = [
    ("none", Prot::empty()),
    ("r", Prot::READ),
    ("w", Prot::WRITE),
    ("x", Prot::EXEC),
    ("rw", Prot::READ.union(Prot::WRITE)),
    ("rx", Prot::READ.union(Prot::EXEC)),
    ("wx", Prot::WRITE.union(Prot::EXEC)),
    ("rwx", Prot::READ.union(Prot::WRITE).union(Prot::EXEC)),
];

impl Parser<'_> {
    pub(super) fn number(&mut self, what: &str) -> Parsed<Spanned<u64>> {
        match *self.kind() {
            TokenKind::Number(value) => Ok(Spanned::new(value, self.bump())),
            _ => Err(self.expected(what)),
        }
    }

    /// A number of at least 1 and at most `most`.
    pub(super) fn count(&mut self, what: &str, most: u64) -> Parsed<Spanned<u64>> {
        let count = self.number(what)?;
        if (1..=most).contains(&*count) {
            return Ok(count);
        }
        let help = if *count == 0 { "at least 1".to_owned() } else { format!("at most {most}") };
        let message = format!("{} is not possible as {what}", *count);
        self.report(Diagnostic::new(count.span, message).help(help));
        Ok(Spanned::new(1, count.span))
    }

    /// A size in bytes that is a multiple of the page size.
    pub(super) fn size(&mut self, what: &str) -> Parsed<Spanned<u64>> {
        let size = self.number(what)?;
        if !size.is_multiple_of(PAGE_SIZE) {
            let below = *size / PAGE_SIZE * PAGE_SIZE;
            let message = format!("{} is not a multiple of the page size {PAGE_SIZE}", *size);
            let help = format!("did you mean `{}`?", crate::print::size(below.max(PAGE_SIZE)));
            self.report(Diagnostic::new(size.span, message).help(help));
            return Ok(Spanned::new(0, size.span));
        }
        Ok(size)
    }

    pub(super) fn addr(&mut self) -> Parsed<Spanned<VirtAddr>> {
        let number = self.number("an address such as `0x10000`")?;
        if *self.kind() == TokenKind::DotDot {
            let help = format!("the first byte of the range is `{:#x}`", *number);
            return Err(self.expected_with_help("one address, not a range", Some(help)));
        }
        if *number >= TASK_SIZE {
            self.beyond_user_space(number.span, *number);
        }
        Ok(Spanned::new(VirtAddr(*number), number.span))
    }

    fn beyond_user_space(&mut self, span: Span, addr: u64) {
        let message = format!("{addr:#x} is beyond the end of user space");
        let help = format!("user space is `0x0..{TASK_SIZE:#x}`");
        self.report(Diagnostic::new(span, message).help(help));
    }

    /// `START..END`, page aligned and not empty.
    pub(super) fn range(&mut self) -> Parsed<Spanned<PageRange>> {
        let start = self.number(RANGE)?;
        if *self.kind() != TokenKind::DotDot {
            let page = *start / PAGE_SIZE * PAGE_SIZE;
            let help = format!("the page there is `{page:#x}..{:#x}`", page.saturating_add(PAGE_SIZE));
            let message = format!("expected {RANGE}, found one address");
            self.report(Diagnostic::new(start.span, message).help(help));
            return Ok(Spanned::new(PageRange::page(Vpn(0)), start.span));
        }
        self.bump();
        let end = self.number("the end of the range, exclusive")?;
        let span = start.span.to(end.span);
        Ok(Spanned::new(self.page_range(start, end), span))
    }

    /// The pages of `start..end`; if that is none, reports it and answers pages around it.
    fn page_range(&mut self, start: Spanned<u64>, end: Spanned<u64>) -> PageRange {
        let span = start.span.to(end.span);
        let down = *start / PAGE_SIZE * PAGE_SIZE;
        let up = end.div_ceil(PAGE_SIZE).saturating_mul(PAGE_SIZE);
        if *start >= *end {
            let help = if *start == *end {
                format!("the end is exclusive: one page is `{down:#x}..{:#x}`", down.saturating_add(PAGE_SIZE))
            } else {
                format!("did you mean `{:#x}..{:#x}`?", *end, *start)
            };
            self.report(Diagnostic::new(span, "this range holds no page").help(help));
        } else if *end > TASK_SIZE {
            self.beyond_user_space(end.span, *end);
        } else if (down, up) != (*start, *end) {
            let crooked = if down == *start { end } else { start };
            let message = format!("{:#x} is not a multiple of the page size {PAGE_SIZE:#x}", *crooked);
            let help = format!("the whole pages around it are `{down:#x}..{up:#x}`");
            self.report(Diagnostic::new(crooked.span, message).help(help));
        }
        PageRange::from_bytes(VirtAddr(down), VirtAddr(up)).unwrap_or(PageRange::page(VirtAddr(down).vpn()))
    }

    /// `r`, `rw`, `rwx`, ..., `none`.
    pub(super) fn prot(&mut self) -> Parsed<Spanned<Prot>> {
        self.table_word("a protection such as `rw`", &PROTS)
    }

    pub(super) fn gfp(&mut self) -> Parsed<Spanned<Gfp>> {
        self.table_word("allocation flags such as `GFP_KERNEL`", &Gfp::WORDS)
    }

    pub(super) fn table_word<T: Copy>(&mut self, what: &str, table: &[(&str, T)]) -> Parsed<Spanned<T>> {
        let all = table.iter().map(|&(word, _)| word);
        let word = self.word();
        match table.iter().find(|&&(entry, _)| word == Some(entry)) {
            Some(&(_, value)) => Ok(Spanned::new(value, self.bump())),
            None => {
                let help = match word {
                    Some(word) => suggest::help(word, all),
                    None => suggest::one_of(all),
                };
                Err(self.expected_with_help(what, help))
            }
        }
    }

    /// `anon [shared]`, `file "NAME" [offset BYTES] [shared]`, the same of `shmem`, `hugetlb ["NAME" [offset BYTES]] [shared]`,
    /// or `dax "NAME" [offset BYTES]`, which is shared.
    pub(super) fn mapping(&mut self) -> Parsed<Spanned<Mapping>> {
        let start = self.pos;
        let backing = match self.choice::<BackingWord>("`anon` or `file \"name\"`")?.node {
            BackingWord::Anon => Backing::Anon,
            BackingWord::File => self.file(false)?,
            BackingWord::Shmem => self.file(true)?,
            BackingWord::Hugetlb => self.hugetlb()?,
            BackingWord::Dax => {
                let name = self.text_value("the device's name in quotes")?;
                let mapping =
                    Mapping { backing: Backing::Dax { name, offset: self.file_offset()? }, sharing: Sharing::Shared };
                return Ok(Spanned::new(mapping, self.span_since(start)));
            }
        };
        let sharing = match self.word().and_then(Sharing::from_word) {
            Some(sharing) => {
                self.bump();
                sharing
            }
            None => Sharing::Private,
        };
        let mapping = Mapping { backing, sharing };
        Ok(Spanned::new(mapping, self.span_since(start)))
    }

    fn file(&mut self, shmem: bool) -> Parsed<Backing> {
        let name = self.text_value("the file's name in quotes")?;
        Ok(Backing::File { name, offset: self.file_offset()?, shmem })
    }

    fn hugetlb(&mut self) -> Parsed<Backing> {
        if !matches!(self.kind(), TokenKind::Text(_)) {
            return Ok(Backing::Hugetlb { name: None, offset: Pgoff(0) });
        }
        let name = self.text_value("the file's name in quotes")?;
        Ok(Backing::Hugetlb { name: Some(name), offset: self.file_offset()? })
    }

    fn file_offset(&mut self) -> Parsed<Pgoff> {
        let offset_bytes = match self.eat_word("offset") {
            Some(_) => *self.size("an offset in bytes")?,
            None => 0,
        };
        Ok(Pgoff(offset_bytes / PAGE_SIZE))
    }

    pub(super) fn text_value(&mut self, what: &str) -> Parsed<Name> {
        match self.kind() {
            TokenKind::Text(text) => {
                let text = text.clone();
                Ok(Spanned::new(text, self.bump()))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A bare word or a quoted string: for names that are not ours (lock classes, mutants).
    pub(super) fn foreign_name(&mut self, what: &str) -> Parsed<Name> {
        match self.word() {
            Some(word) => Ok(Spanned::new(word.to_owned(), self.bump())),
            None => self.text_value(what),
        }
    }

    /// `{ NAME, NAME }`.
    pub(super) fn name_list(&mut self, what: &str) -> Parsed<Vec<Name>> {
        self.block(&[], |p| p.name(what))
    }
}
