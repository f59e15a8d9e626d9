//! `task` and its statements; handlers of interrupts, which have the same.

use super::{Parsed, Parser, Reported};
use crate::ast::{Argument, GlobalStatement, Interrupt, InterruptSource, LockMode, Name, Operand, Statement, Task};
use crate::lexer::TokenKind;
use crate::lost::Namespace;
use crate::span::Spanned;
use crate::suggest;
use crate::words::{MmOp, OperandKind, Section, TaskWord, Word};

impl Parser<'_> {
    /// `task NAME { .. }`, after `task`.
    pub(super) fn task(&mut self) -> Parsed<Spanned<Task>> {
        let start = self.pos - 1;
        let name = self.header(|p| p.declared("a task's name", Namespace::Task))?;
        let body = self.task_block()?;
        let task = Task { name: name.ok_or(Reported)?, interrupt: None, body };
        Ok(Spanned::new(task, self.span_since(start)))
    }

    /// `irq NAME [times N] { .. }`, `softirq ..` and `timer NAME after MS [times N] { .. }`, after the first word.
    pub(super) fn interrupt(&mut self, section: Section) -> Parsed<Spanned<Task>> {
        let start = self.pos - 1;
        let header = self.header(|p| {
            let name = p.declared("a handler's name", Namespace::Task)?;
            let source = match section {
                Section::Timer => InterruptSource::Timer { after: p.delay()? },
                Section::Softirq => InterruptSource::Softirq,
                _ => InterruptSource::Irq,
            };
            let times = match p.eat_word("times") {
                Some(_) => Some(p.count("a number of times", u64::from(u32::MAX))?),
                None => None,
            };
            let times = times.map(|times| Spanned::new(*times as u32, times.span));
            Ok((name, Interrupt { source, times }))
        })?;
        let body = self.task_block()?;
        let (name, interrupt) = header.ok_or(Reported)?;
        Ok(Spanned::new(Task { name, interrupt: Some(interrupt), body }, self.span_since(start)))
    }

    fn delay(&mut self) -> Parsed<Spanned<u64>> {
        if self.eat_word("after").is_none() {
            return Err(self.expected("`after` and a number of milliseconds"));
        }
        self.count("a number of milliseconds", u64::from(u32::MAX))
    }

    pub(super) fn task_block(&mut self) -> Parsed<Vec<Spanned<Statement>>> {
        let words = self.known_words::<TaskWord>();
        let ops = self.known_words::<MmOp>();
        let op_words: Vec<&str> = ops.iter().map(|w| w.word()).collect();
        let starters: Vec<&str> = words.iter().map(|w| w.word()).chain(op_words.iter().copied()).collect();
        self.block(&starters, |p| {
            let start = p.pos;
            let op = p.word().and_then(MmOp::from_word).filter(|op| ops.contains(op));
            let statement = if p.word().is_some() && *p.kind_ahead(1) == TokenKind::Dot {
                p.call()?
            } else if let Some(op) = op {
                p.op(op)?
            } else {
                // All of them would be a long list: they are offered only to a word that is nearly one.
                let near = p.word().is_some_and(|w| suggest::nearest(w, op_words.iter().copied()).is_some());
                let others = if near { op_words.as_slice() } else { &[] };
                p.corrected_among("a statement", &words, others, |p, word, _| p.statement(word))?
            };
            Ok(Spanned::new(statement, p.span_since(start)))
        })
    }

    /// The words of `W` that the caller supports.
    pub(super) fn known_words<W: Word>(&self) -> Vec<W> {
        let known = |w: &W| self.known.statements.contains(w.word());
        W::ALL.iter().copied().filter(known).collect()
    }

    fn statement(&mut self, word: TaskWord) -> Parsed<Statement> {
        Ok(match word {
            TaskWord::Mmap => Statement::Mmap {
                mm: self.mm_name()?,
                range: self.range()?,
                prot: self.prot()?,
                mapping: self.mapping()?,
            },
            TaskWord::Munmap => Statement::Munmap { mm: self.mm_name()?, range: self.range()? },
            TaskWord::Mprotect => Statement::Mprotect { mm: self.mm_name()?, range: self.range()?, prot: self.prot()? },
            TaskWord::Brk => Statement::Brk { mm: self.mm_name()?, addr: self.addr()? },
            TaskWord::Read => Statement::Read { mm: self.mm_name()?, addr: self.addr()? },
            TaskWord::Write => {
                Statement::Write { mm: self.mm_name()?, addr: self.addr()?, value: self.optional_number() }
            }
            TaskWord::Touch => Statement::Touch { mm: self.mm_name()?, range: self.range()? },
            TaskWord::Exit => Statement::Exit { mm: self.mm_name()? },
            TaskWord::Alloc => Statement::Alloc { nr_pages: self.page_count()?, gfp: self.gfp()? },
            TaskWord::Reclaim => self.reclaim()?,
            TaskWord::Compact => Statement::Compact { mm: self.mm_name()?, range: self.range()? },
            TaskWord::Swapin => Statement::Swapin { mm: self.mm_name()?, range: self.range()? },
            TaskWord::With => self.with_lock()?,
            TaskWord::Repeat => self.repeat()?,
            TaskWord::Register => Statement::Register { device: self.device_name()? },
            TaskWord::Unregister => Statement::Unregister { device: self.device_name()? },
            TaskWord::Sync => Statement::Sync { name: self.sync_name()? },
            TaskWord::Yield => Statement::Yield,
            TaskWord::Notify => self.notify()?,
            TaskWord::Load
            | TaskWord::Store
            | TaskWord::Add
            | TaskWord::SmpLoadAcquire
            | TaskWord::SmpStoreRelease
            | TaskWord::SmpMb
            | TaskWord::SmpWmb
            | TaskWord::SmpRmb
            | TaskWord::If
            | TaskWord::Check
            | TaskWord::Return => self.global_statement(word)?,
            TaskWord::Mark => Statement::Mark { text: self.text_value("the operation's name in quotes")? },
            TaskWord::Sleep => Statement::Sleep { ms: self.count("a number of milliseconds", u64::from(u32::MAX))? },
            TaskWord::FileWrite => {
                let shared = self.eat_word("shared").is_some();
                Statement::FileWrite { shared, body: self.task_block()? }
            }
        })
    }

    /// One operation of the kernel, at its word.
    fn op(&mut self, op: MmOp) -> Parsed<Statement> {
        let op = Spanned::new(op, self.bump());
        let (needed, kinds) = op.operands();
        let mut operands = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            if at >= needed && !self.operand_is_here(*kind) {
                break;
            }
            let start = self.pos;
            let operand = self.operand(*kind)?;
            operands.push(Spanned::new(operand, self.span_since(start)));
        }
        Ok(Statement::Op { op, operands })
    }

    /// Whether an operand that may be left out is there. Only words are left out.
    fn operand_is_here(&self, kind: OperandKind) -> bool {
        matches!(kind, OperandKind::Word(words) if self.word().is_some_and(|word| words.contains(&word)))
    }

    fn operand(&mut self, kind: OperandKind) -> Parsed<Operand> {
        Ok(match kind {
            OperandKind::Mm => Operand::Mm(self.mm_name()?.node),
            OperandKind::Range => Operand::Range(self.range()?.node),
            OperandKind::RangeOrNumber if *self.kind_ahead(1) == TokenKind::DotDot => {
                Operand::Range(self.range()?.node)
            }
            OperandKind::RangeOrNumber => Operand::Number(self.number("an address range, or a number")?.node),
            OperandKind::Number => Operand::Number(self.number("a number")?.node),
            OperandKind::Text => Operand::Text(self.text_value("a file's name in quotes")?.node),
            OperandKind::Word(words) => {
                let table: Vec<(&str, &str)> = words.iter().map(|w| (*w, *w)).collect();
                Operand::Word((*self.table_word("one of its words", &table)?).to_owned())
            }
        })
    }

    pub(super) fn mm_name(&mut self) -> Parsed<Name> {
        self.name("an mm's name")
    }

    fn device_name(&mut self) -> Parsed<Name> {
        self.name("a device's name")
    }

    pub(super) fn sync_name(&mut self) -> Parsed<Name> {
        self.declared("a sync point's name", Namespace::Sync)
    }

    pub(super) fn page_count(&mut self) -> Parsed<Spanned<u64>> {
        self.count("a number of pages", u64::from(u32::MAX))
    }

    pub(super) fn optional_number(&mut self) -> Option<Spanned<u64>> {
        match *self.kind() {
            TokenKind::Number(value) => Some(Spanned::new(value, self.bump())),
            _ => None,
        }
    }

    /// `reclaim MM RANGE` or `reclaim N pages`.
    fn reclaim(&mut self) -> Parsed<Statement> {
        if self.word().is_some() {
            return Ok(Statement::ReclaimRange { mm: self.mm_name()?, range: self.range()? });
        }
        if !matches!(self.kind(), TokenKind::Number(_) | TokenKind::Error) {
            return Err(self.expected("an mm and a range, or a number and `pages`"));
        }
        let nr_pages = self.page_count()?;
        if self.eat_word("pages").is_none() {
            return Err(self.expected("`pages`"));
        }
        Ok(Statement::ReclaimPages { nr_pages })
    }

    /// `with [MODE] DEVICE.LOCK { .. }` or `with [MODE] LOCK { .. }`, after `with`.
    fn with_lock(&mut self) -> Parsed<Statement> {
        let header = self.header(|p| {
            let mode = p.lock_mode();
            let first = p.name("a lock, or a device's name")?;
            if !p.eat(&TokenKind::Dot) {
                return Ok((mode, None, first));
            }
            Ok((mode, Some(first), p.name("a lock's name")?))
        })?;
        let body = self.task_block()?;
        let (mode, device, lock) = header.ok_or(Reported)?;
        Ok(match device {
            Some(device) => Statement::With { device, lock, mode, body },
            None => Statement::Global(GlobalStatement::With { lock, mode, body }),
        })
    }

    /// `read`, `write`, `irqsave` or `bh`, if a name follows it (else it is the name).
    pub(super) fn lock_mode(&mut self) -> Option<Spanned<LockMode>> {
        let mode = self.word().and_then(LockMode::from_word)?;
        (*self.kind_ahead(1) == TokenKind::Word).then(|| Spanned::new(mode, self.bump()))
    }

    fn repeat(&mut self) -> Parsed<Statement> {
        let times = self.header(|p| p.count("a number of times", u64::from(u32::MAX)))?;
        let body = self.task_block()?;
        let times = times.ok_or(Reported)?;
        Ok(Statement::Repeat { times: Spanned::new(*times as u32, times.span), body })
    }

    /// `notify [nonblock] MM RANGE { .. }`, after `notify`. An mm called `nonblock` is one if its range follows.
    fn notify(&mut self) -> Parsed<Statement> {
        let header = self.header(|p| {
            let nonblock = p.word() == Some("nonblock") && *p.kind_ahead(1) == TokenKind::Word;
            if nonblock {
                p.bump();
            }
            Ok((nonblock, p.mm_name()?, p.range()?))
        })?;
        let body = self.task_block()?;
        let (nonblock, mm, range) = header.ok_or(Reported)?;
        Ok(Statement::Notify { nonblock, mm, range, body })
    }

    /// `DEVICE.OPERATION ARG..`
    fn call(&mut self) -> Parsed<Statement> {
        let device = self.device_name()?;
        self.expect(&TokenKind::Dot, "`.`")?;
        let operation = self.name("an operation's name")?;
        let mut arguments = Vec::new();
        while matches!(self.kind(), TokenKind::Number(_)) {
            arguments.push(self.argument()?);
        }
        Ok(Statement::Call { device, operation, arguments })
    }

    fn argument(&mut self) -> Parsed<Spanned<Argument>> {
        if *self.kind_ahead(1) == TokenKind::DotDot {
            let range = self.range()?;
            return Ok(Spanned::new(Argument::Range(*range), range.span));
        }
        let number = self.number("a number")?;
        Ok(Spanned::new(Argument::Number(*number), number.span))
    }
}
