//! `globals` and the statements about them.

use super::setup::starters;
use super::{Parsed, Parser, Reported};
use crate::ast::{Barrier, Condition, Global, GlobalStatement, LockKind, Relation, Statement, Value};
use crate::lexer::TokenKind;
use crate::lost::Namespace;
use crate::span::Spanned;
use crate::words::{GlobalWord, TaskWord};

impl Parser<'_> {
    /// `globals { .. }`, after `globals`.
    pub(super) fn globals(&mut self) -> Parsed<Vec<Spanned<Global>>> {
        self.block(&starters::<GlobalWord>(), |p| {
            let start = p.pos;
            let item = p.corrected("a lock or `word`", &[], |p, word, span| {
                let lock = |kind| Spanned::new(kind, span);
                Ok(match word {
                    GlobalWord::Mutex => p.global_lock(lock(LockKind::Mutex))?,
                    GlobalWord::Spinlock => p.global_lock(lock(LockKind::Spinlock))?,
                    GlobalWord::Rwsem => p.global_lock(lock(LockKind::Rwsem))?,
                    GlobalWord::Word => {
                        let name = p.declared("a word's name", Namespace::Global)?;
                        let value = p.optional_number().map_or(0, |value| value.node);
                        Global::Word { name, value }
                    }
                })
            })?;
            Ok(Spanned::new(item, p.span_since(start)))
        })
    }

    fn global_lock(&mut self, kind: Spanned<LockKind>) -> Parsed<Global> {
        Ok(Global::Lock { name: self.declared("a lock's name", Namespace::Global)?, kind })
    }

    /// A statement about globals other than `with`, after its first word.
    pub(super) fn global_statement(&mut self, word: TaskWord) -> Parsed<Statement> {
        Ok(Statement::Global(match word {
            TaskWord::Load | TaskWord::SmpLoadAcquire => {
                let register = self.name("a register's name")?;
                let acquire = word == TaskWord::SmpLoadAcquire;
                GlobalStatement::Load { register, word: self.name("a word's name")?, acquire }
            }
            TaskWord::Store | TaskWord::SmpStoreRelease => {
                let release = word == TaskWord::SmpStoreRelease;
                let word = self.name("a word's name")?;
                GlobalStatement::Store { word, value: self.value()?, release }
            }
            TaskWord::SmpMb => GlobalStatement::Barrier(Barrier::Full),
            TaskWord::SmpWmb => GlobalStatement::Barrier(Barrier::Write),
            TaskWord::SmpRmb => GlobalStatement::Barrier(Barrier::Read),
            TaskWord::Add => {
                let word = self.name("a word's name")?;
                GlobalStatement::Add { word, value: self.value()? }
            }
            TaskWord::Check => GlobalStatement::Check { condition: self.condition()? },
            TaskWord::If => {
                let condition = self.header(Self::condition)?;
                let then = self.task_block()?;
                let otherwise = if self.eat_word("else").is_some() { self.task_block()? } else { Vec::new() };
                GlobalStatement::If { condition: condition.ok_or(Reported)?, then, otherwise }
            }
            _ => GlobalStatement::Return,
        }))
    }

    fn value(&mut self) -> Parsed<Spanned<Value>> {
        if *self.kind() == TokenKind::Word {
            let register = self.name("a number or a register")?;
            return Ok(Spanned::new(Value::Register(register.node), register.span));
        }
        let number = self.number("a number or a register")?;
        Ok(Spanned::new(Value::Number(number.node), number.span))
    }

    /// `REGISTER is VALUE`
    fn condition(&mut self) -> Parsed<Spanned<Condition>> {
        let start = self.pos;
        let register = self.name("a register's name")?;
        let relation: Spanned<Relation> = self.choice("a comparison")?;
        let value = self.value()?;
        let condition = Condition { register, relation: relation.node, value };
        Ok(Spanned::new(condition, self.span_since(start)))
    }
}
