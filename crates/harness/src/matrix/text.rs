//! The matrix as text for a terminal, Markdown, JSON and a picture.

use super::{Cell, Matrix, Measured};
use std::fmt::Write as _;

/// `a`, `b`, ... `z`, `aa`, ...: the columns of a table that must stay narrow.
fn letter(mut at: usize) -> String {
    let mut word = Vec::new();
    loop {
        word.push(b'a' + (at % 26) as u8);
        if at < 26 {
            break;
        }
        at = at / 26 - 1;
    }
    word.reverse();
    String::from_utf8(word).expect("letters")
}

fn time(row: &Measured) -> String {
    row.ns_per_bracket.map_or_else(String::new, |ns| ns.to_string())
}

impl Matrix {
    fn is_timed(&self) -> bool {
        self.rows.iter().any(|r| r.ns_per_bracket.is_some())
    }

    fn header(&self) -> Vec<String> {
        let mut words = vec!["annotations".to_owned()];
        words.extend((0..self.workloads.len()).map(letter));
        words.extend(["classes", "edges", "chains", "classes, 1 mm", "16 mms"].map(str::to_owned));
        if self.is_timed() {
            words.push("ns a range".to_owned());
        }
        words
    }

    fn line(&self, row: &Measured) -> Vec<String> {
        let mut words = vec![row.row.name.clone()];
        words.extend(row.cells.iter().map(|c| c.word().to_owned()));
        let (one, many) = (row.growth.with_1.classes, row.growth.with_16.classes);
        words.extend([row.counts.classes, row.counts.edges, row.counts.chains, one, many].map(|n| n.to_string()));
        if self.is_timed() {
            words.push(time(row));
        }
        words
    }

    /// A table: a line a row, a column a workload, which the lines below name.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines: Vec<Vec<String>> =
            std::iter::once(self.header()).chain(self.rows.iter().map(|r| self.line(r))).collect();
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let words = line.iter().zip(&widths).enumerate().map(|(column, (word, width))| match column {
                // Names and cells to the left, numbers to the right.
                n if n <= self.workloads.len() => format!("{word:<width$}"),
                _ => format!("{word:>width$}"),
            });
            text.push_str(words.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text.push('\n');
        for (at, (name, title)) in self.workloads.iter().enumerate() {
            let _ = writeln!(text, "  {}  {name}: {title}", letter(at));
        }
        text
    }

    /// The same as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let header = self.header();
        let _ = writeln!(text, "| {} |\n|{}", header.join(" | "), "---|".repeat(header.len()));
        for row in &self.rows {
            let mut words = self.line(row);
            for (word, cell) in words[1..].iter_mut().zip(&row.cells) {
                if matches!(cell, Cell::Missed | Cell::False) {
                    *word = format!("**{word}**");
                }
            }
            let _ = writeln!(text, "| {} |", words.join(" | "));
        }
        let _ = writeln!(text, "\n| | workload | what it is |\n|---|---|---|");
        for (at, (name, title)) in self.workloads.iter().enumerate() {
            let _ = writeln!(text, "| {} | {name} | {title} |", letter(at));
        }
        text
    }

    /// The same as JSON: one object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let workloads: Vec<_> =
            self.workloads.iter().map(|(name, title)| serde_json::json!({ "name": name, "title": title })).collect();
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|r| {
                let settings: serde_json::Map<String, serde_json::Value> =
                    r.row.settings().map(|(name, value)| (name.to_owned(), value.into())).collect();
                serde_json::json!({
                    "name": r.row.name,
                    "settings": settings,
                    "cells": r.cells,
                    "counts": r.counts,
                    "with_1_mm": r.growth.with_1,
                    "with_16_mms": r.growth.with_16,
                    "ns_per_bracket": r.ns_per_bracket,
                })
            })
            .collect();
        let unfit: Vec<_> = self
            .unfit
            .iter()
            .map(|u| serde_json::json!({ "row": u.row, "workload": u.workload, "what": u.what }))
            .collect();
        serde_json::json!({ "workloads": workloads, "rows": rows, "unfit": unfit })
    }

    /// The cells as a picture (SVG): green found, grey quiet, orange missed, red false.
    #[must_use]
    pub fn to_svg(&self) -> String {
        const LEFT: usize = 400;
        const TOP: usize = 30;
        const WIDE: usize = 66;
        const HIGH: usize = 22;
        let legend = TOP + HIGH * self.rows.len() + 20;
        let (width, height) = (LEFT + WIDE * self.workloads.len() + 20, legend + 18 * self.workloads.len() + 10);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for at in 0..self.workloads.len() {
            let x = LEFT + WIDE * at + WIDE / 2;
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"20\" text-anchor=\"middle\">{}</text>", letter(at));
        }
        for (line, row) in self.rows.iter().enumerate() {
            let y = TOP + HIGH * line;
            let name = escaped(&row.row.name);
            let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 8, y + 15);
            for (at, cell) in row.cells.iter().enumerate() {
                let (fill, ink) = match cell {
                    Cell::Found => ("#2e8b57", "white"),
                    Cell::Quiet => ("#e6e6e6", "#444"),
                    Cell::Missed => ("#f0a030", "black"),
                    Cell::False => ("#c03028", "white"),
                };
                let x = LEFT + WIDE * at;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"/>\
                     <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{}</text>",
                    WIDE - 2,
                    HIGH - 2,
                    x + WIDE / 2 - 1,
                    y + 14,
                    cell.word()
                );
            }
        }
        for (at, (name, title)) in self.workloads.iter().enumerate() {
            let (y, words) = (legend + 18 * at, escaped(&format!("{}  {name}: {title}", letter(at))));
            let _ = writeln!(svg, "<text x=\"10\" y=\"{y}\">{words}</text>");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn columns_never_run_out_of_letters() {
        assert_eq!([0, 25, 26, 51, 52].map(letter), ["a", "z", "aa", "az", "ba"]);
    }
}
