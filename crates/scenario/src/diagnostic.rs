//! A mistake in a scenario, and how it is shown.

use crate::lexer;
use crate::span::Span;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::fmt;

/// One mistake: what is wrong, where, and what would have been right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What is wrong, in one line without a full stop.
    pub message: String,
    /// Where. Empty where something is missing.
    pub span: Span,
    /// What stands under the caret.
    pub label: String,
    /// What would have been right.
    pub help: Option<String>,
    /// Other places that have to do with it (the first of two equal names, the open brace).
    pub secondary: Vec<(Span, String)>,
}

impl Diagnostic {
    /// A mistake at `span`, without label, help or other places.
    pub fn new(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { message: message.into(), span, label: String::new(), help: None, secondary: Vec::new() }
    }

    /// The same with `label` under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// The same with `help`, if there is any.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Diagnostic {
        self.help = help.into();
        self
    }

    /// The same with one more place.
    #[must_use]
    pub fn secondary(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.secondary.push((span, label.into()));
        self
    }

    /// The mistake as a compiler would show it: message, `file:line:column`, the line with a caret,
    /// help. `text` is what was parsed; spans beyond it are cut to it, so that a wrong text gives a
    /// useless picture and no panic. No newline at the end.
    #[must_use]
    pub fn render(&self, file_name: &str, text: &str, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let title = Level::ERROR.primary_title(self.message.as_str());
        let group = match self.snippet(file_name, text) {
            Some(snippet) => Group::with_title(title).element(snippet),
            None => Group::with_title(title).element(Origin::path(file_name)),
        };
        let group = match &self.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }

    /// The lines to show; `None` when there are none worth showing (an empty or a binary file).
    fn snippet<'a>(
        &'a self,
        file_name: &'a str,
        text: &'a str,
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        if text.trim().is_empty() || !lexer::is_text(text) {
            return None;
        }
        let primary = AnnotationKind::Primary.span(clamp(self.span, text));
        let primary = if self.label.is_empty() { primary } else { primary.label(self.label.as_str()) };
        let others = self
            .secondary
            .iter()
            .map(|(span, label)| AnnotationKind::Context.span(clamp(*span, text)).label(label.as_str()));
        Some(Snippet::source(text).path(file_name).annotation(primary).annotations(others))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// The part of `span` that lies in `text`, widened to character boundaries.
fn clamp(span: Span, text: &str) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.min(text.len()));
    start..end.max(start)
}
