//! `machine`, `annotations`, `mm`.

use super::{Parsed, Parser};
use crate::ast::{Annotations, Machine, Mm, Vma};
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::lost::Namespace;
use crate::span::{Span, Spanned};
use crate::words::{AnnotationWord, MachineWord, MmWord, Word};
use mm_types::{PageRange, VirtAddr};
use std::collections::BTreeSet;

/// The most CPUs a machine can have: a CPU mask is one word.
const MAX_CPUS: u64 = 64;

/// The words of `W`, as block starters.
pub(super) fn starters<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().map(|w| w.word()).collect()
}

impl Parser<'_> {
    pub(super) fn machine(&mut self, machine: &mut Machine) -> Parsed<()> {
        self.block(&starters::<MachineWord>(), |p| {
            p.corrected("a machine setting", &[], |p, word, span| {
                match word {
                    MachineWord::Cpus => {
                        let cpus = p.count("a number of CPUs", MAX_CPUS)?;
                        let few = Spanned::new(*cpus as u32, cpus.span);
                        p.set(&mut machine.cpus, few, span);
                    }
                    MachineWord::Memory => {
                        let memory = p.memory()?;
                        p.set(&mut machine.memory_bytes, memory, span);
                    }
                    MachineWord::Swap => {
                        let swap = p.size("a size such as `16M`")?;
                        p.set(&mut machine.swap_bytes, swap, span);
                    }
                    MachineWord::Kswapd => p.set_choice(&mut machine.kswapd, span)?,
                    MachineWord::OomKiller => p.set_choice(&mut machine.oom_killer, span)?,
                    MachineWord::MemoryModel => p.set_choice(&mut machine.memory_model, span)?,
                    MachineWord::Failures => p.set_choice(&mut machine.failures, span)?,
                    MachineWord::Seed => {
                        let seed = p.number("a seed such as `7`")?;
                        p.set(&mut machine.seed, seed, span);
                    }
                    MachineWord::MaxSteps => {
                        let steps = p.count("a number of visible operations", u64::MAX)?;
                        p.set(&mut machine.max_steps, steps, span);
                    }
                }
                Ok(())
            })
        })?;
        Ok(())
    }

    fn memory(&mut self) -> Parsed<Spanned<u64>> {
        let reported = self.diagnostics.len();
        let memory = self.size("a size such as `64M`")?;
        if *memory == 0 && self.diagnostics.len() == reported {
            let none = Diagnostic::new(memory.span, "a machine without memory cannot run");
            self.report(none.help("for example `64M`".to_owned()));
        }
        Ok(memory)
    }

    /// Stores a setting; a second one is reported at `span`.
    fn set<T>(&mut self, slot: &mut Option<Spanned<T>>, value: Spanned<T>, span: Span) {
        match slot {
            Some(first) => {
                let first = first.span;
                let word = self.slice(span);
                self.report(Diagnostic::new(span, format!("`{word}` is set twice")).secondary(first, "first here"));
            }
            None => *slot = Some(value),
        }
    }

    pub(super) fn annotations(&mut self, annotations: &mut Annotations) -> Parsed<()> {
        self.block(&starters::<AnnotationWord>(), |p| {
            p.corrected("an annotation setting", &[], |p, word, span| p.annotation(annotations, word, span))
        })?;
        Ok(())
    }

    fn annotation(&mut self, to: &mut Annotations, word: AnnotationWord, span: Span) -> Parsed<()> {
        match word {
            AnnotationWord::RangeStart => self.set_choice(&mut to.range_start, span),
            AnnotationWord::RangeEnd => self.set_choice(&mut to.range_end, span),
            AnnotationWord::WrapStart => self.set_choice(&mut to.wrap_start, span),
            AnnotationWord::WrapEnd => self.set_choice(&mut to.wrap_end, span),
            AnnotationWord::OtherCallbacks => self.set_choice(&mut to.other_callbacks, span),
            AnnotationWord::Srcu => self.set_choice(&mut to.srcu, span),
            AnnotationWord::Prime => self.set_choices(&mut to.prime, span),
            AnnotationWord::Touch => self.set_choices(&mut to.touch, span),
        }
    }

    fn set_choice<W: Word>(&mut self, slot: &mut Option<Spanned<W>>, span: Span) -> Parsed<()> {
        let what = format!("a value of `{}`", self.slice(span));
        let value = self.choice(&what)?;
        self.set(slot, value, span);
        Ok(())
    }

    /// `none`, one word, or `{ word, word }`.
    fn set_choices<W: Word + Ord>(&mut self, slot: &mut Option<Spanned<BTreeSet<W>>>, span: Span) -> Parsed<()> {
        let start = self.pos;
        let what = format!("a value of `{}`", self.slice(span));
        let chosen = if *self.kind() == TokenKind::OpenBrace {
            self.choice_set(&what)?
        } else if self.eat_word("none").is_some() {
            BTreeSet::new()
        } else {
            let word = |_: &mut Self, word: W, _: Span| Ok(BTreeSet::from([word]));
            self.corrected(&what, &["none"], word)?
        };
        let value = Spanned::new(chosen, self.span_since(start));
        self.set(slot, value, span);
        Ok(())
    }

    fn choice_set<W: Word + Ord>(&mut self, what: &str) -> Parsed<BTreeSet<W>> {
        let words = self.block(&starters::<W>(), |p| p.choice::<W>(what))?;
        let mut chosen = BTreeSet::new();
        for word in words {
            if !chosen.insert(word.node) {
                let message = format!("`{}` is listed twice", word.word());
                self.report(Diagnostic::new(word.span, message));
            }
        }
        Ok(chosen)
    }

    /// `mm NAME { .. }`, after `mm`.
    pub(super) fn mm(&mut self) -> Parsed<Spanned<Mm>> {
        let start = self.pos - 1;
        let name = self.header(|p| p.declared("an mm's name", Namespace::Mm))?;
        let mut vmas: Vec<Spanned<Vma>> = Vec::new();
        let mut brk: Option<Spanned<VirtAddr>> = None;
        let mut touches: Vec<Spanned<PageRange>> = Vec::new();
        let mut forked = false;
        self.block(&starters::<MmWord>(), |p| {
            let at = p.pos;
            p.corrected("`vma`, `brk`, `touch` or `forked`", &[], |p, word, span| {
                match word {
                    MmWord::Vma => {
                        let vma = p.vma()?;
                        vmas.push(Spanned::new(vma, p.span_since(at)));
                    }
                    MmWord::Touch => touches.push(p.range()?),
                    MmWord::Forked => forked = true,
                    MmWord::Brk => {
                        let addr = p.addr()?;
                        p.set(&mut brk, addr, span);
                    }
                }
                Ok(())
            })
        })?;
        let mm = Mm { name: name.ok_or(super::Reported)?, vmas, brk, touches, forked };
        Ok(Spanned::new(mm, self.span_since(start)))
    }

    fn vma(&mut self) -> Parsed<Vma> {
        Ok(Vma { range: self.range()?, prot: self.prot()?, mapping: self.mapping()? })
    }
}
