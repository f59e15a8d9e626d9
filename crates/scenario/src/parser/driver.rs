//! Statements of inline drivers.

use super::{Parsed, Parser, Reported};
use crate::ast::{DriverStatement, RangeExpr};
use crate::lexer::TokenKind;
use crate::span::Spanned;
use crate::words::{DriverWord, Word};

type Body = Vec<Spanned<DriverStatement>>;

impl Parser<'_> {
    pub(super) fn driver_block(&mut self) -> Parsed<Body> {
        let words = self.known_words::<DriverWord>();
        let starters: Vec<&str> = words.iter().map(|w| w.word()).collect();
        self.block(&starters, |p| {
            let start = p.pos;
            let statement =
                p.corrected_among("a driver statement", &words, &[], |p, word, _| p.driver_statement(word))?;
            Ok(Spanned::new(statement, p.span_since(start)))
        })
    }

    fn driver_statement(&mut self, word: DriverWord) -> Parsed<DriverStatement> {
        Ok(match word {
            DriverWord::With => self.with_own_lock()?,
            DriverWord::Zap => DriverStatement::Zap(self.range_expr()?),
            DriverWord::Map => DriverStatement::Map(self.range_expr()?),
            DriverWord::Alloc => DriverStatement::Alloc { nr_pages: self.page_count()?, gfp: self.gfp()? },
            DriverWord::Sleep => DriverStatement::Sleep,
            DriverWord::SetSeq => DriverStatement::SetSeq,
            DriverWord::ReadBegin => DriverStatement::ReadBegin,
            DriverWord::CheckRetry => DriverStatement::CheckRetry,
            DriverWord::Retry => DriverStatement::Retry { body: self.driver_block()? },
            DriverWord::Fault => DriverStatement::Fault(self.range_expr()?),
            DriverWord::Pin => DriverStatement::Pin(self.range_expr()?),
            DriverWord::Unpin => DriverStatement::Unpin(self.range_expr()?),
            DriverWord::Refuse => DriverStatement::Refuse,
            DriverWord::If => self.if_blockable()?,
            DriverWord::Sync => DriverStatement::Sync { name: self.sync_name()? },
            DriverWord::Flush => DriverStatement::Flush,
        })
    }

    /// `with [read|write] LOCK { .. }`, after `with`.
    fn with_own_lock(&mut self) -> Parsed<DriverStatement> {
        let header = self.header(|p| Ok((p.lock_mode(), p.name("a lock of this driver")?)))?;
        let body = self.driver_block()?;
        let (mode, lock) = header.ok_or(Reported)?;
        Ok(DriverStatement::With { lock, mode, body })
    }

    /// `if blockable { .. } [else { .. }]`, after `if`.
    fn if_blockable(&mut self) -> Parsed<DriverStatement> {
        let condition = self.header(|p| match p.eat_word("blockable") {
            Some(_) => Ok(()),
            None => Err(p.expected("`blockable`")),
        })?;
        let then = self.driver_block()?;
        let otherwise = match self.eat_word("else") {
            Some(_) => self.driver_block()?,
            None => Vec::new(),
        };
        condition.ok_or(Reported)?;
        Ok(DriverStatement::IfBlockable { then, otherwise })
    }

    /// `range` or an address range.
    fn range_expr(&mut self) -> Parsed<Spanned<RangeExpr>> {
        if let Some(span) = self.eat_word("range") {
            return Ok(Spanned::new(RangeExpr::Argument, span));
        }
        if !matches!(self.kind(), TokenKind::Number(_) | TokenKind::Error) {
            let help = "`range` is what the handler or operation was called with".to_owned();
            return Err(self.expected_with_help("`range` or an address range", Some(help)));
        }
        let pages = self.range()?;
        Ok(Spanned::new(RangeExpr::Pages(*pages), pages.span))
    }
}
