//! Rows drawn with box-drawing characters, at most 100 columns wide.

use super::{DrawnRow, Heads, Line};
use crate::party::Party;
use crate::text::{clean, grouped, wrap};

/// Columns of a drawing.
const WIDTH: usize = 100;
/// Columns of the lifelines, behind the edges of frames.
const LANES: [usize; 3] = [3, 15, 27];
/// Where the text begins, behind the edges of frames.
const TEXT: usize = 31;
/// Lines of one paragraph.
const LINES: usize = 6;

pub(super) fn draw(heads: &Heads, rows: &[DrawnRow]) -> String {
    let gutter = 2 * deepest(rows);
    let mut drawing = Drawing {
        gutter,
        depth: 0,
        text: String::new(),
    };
    drawing.line(
        &" ".repeat(gutter),
        &centred(&Party::ALL.map(|party| party.to_string())),
        "",
    );
    let players = centred(&heads.players.map(str::to_owned));
    drawing.line(&" ".repeat(gutter), &players, "");
    for row in rows {
        drawing.row(row);
    }
    drawing.text
}

fn deepest(rows: &[DrawnRow]) -> usize {
    let mut depth = 0usize;
    let mut most = 0;
    for row in rows {
        match row {
            DrawnRow::Open { .. } => depth += 1,
            DrawnRow::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// Words in the middle of the lanes.
fn centred(words: &[String; 3]) -> String {
    let mut line = String::new();
    for (word, lane) in words.iter().zip(LANES) {
        let length = word.chars().count();
        let from = lane.saturating_sub((length.saturating_sub(1)) / 2);
        let used = line.chars().count();
        line.push_str(&" ".repeat(from.saturating_sub(used)));
        line.push_str(word);
    }
    line
}

fn lane(party: Party) -> usize {
    LANES[party as usize]
}

/// The lifelines, drawn with one character.
fn lifelines(line: char) -> Vec<char> {
    let mut cells = vec![' '; LANES[2] + 1];
    for lane in LANES {
        cells[lane] = line;
    }
    cells
}

struct Drawing {
    /// Columns for the edges of frames.
    gutter: usize,
    depth: usize,
    text: String,
}

impl Drawing {
    fn line(&mut self, edges: &str, lanes: &str, text: &str) {
        let width = TEXT - edges.chars().count().saturating_sub(self.gutter);
        let line = format!("{edges}{lanes:<width$}{text}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn edges(&self) -> String {
        format!(
            "{}{}",
            "│ ".repeat(self.depth),
            " ".repeat(self.gutter - 2 * self.depth)
        )
    }

    /// Lanes of one row, and paragraphs beside them that go on beside bare lifelines.
    fn beside(&mut self, lanes: Vec<char>, paragraphs: &[String]) {
        let mut lanes = Some(lanes);
        let mut lines = paragraphs
            .iter()
            .flat_map(|paragraph| self.paragraph(paragraph))
            .collect::<Vec<_>>();
        if lines.is_empty() {
            lines.push(String::new());
        }
        let edges = self.edges();
        for line in lines {
            let lanes: String = lanes
                .take()
                .unwrap_or_else(|| lifelines('│'))
                .into_iter()
                .collect();
            self.line(&edges, &lanes, &line);
        }
    }

    /// Wrapped; every line but the first is indented.
    fn paragraph(&self, text: &str) -> Vec<String> {
        let width = WIDTH - TEXT - self.gutter - 2;
        let mut lines: Vec<String> = Vec::new();
        for line in wrap(&clean(text), width) {
            let indent = if lines.is_empty() { "" } else { "  " };
            lines.extend(
                pieces(&line, width)
                    .into_iter()
                    .map(|piece| format!("{indent}{piece}")),
            );
        }
        if lines.len() > LINES {
            lines.truncate(LINES - 1);
            lines.push("  …".to_owned());
        }
        lines
    }

    fn row(&mut self, row: &DrawnRow) {
        match row {
            DrawnRow::Arrow {
                from,
                to,
                line,
                text,
            } => self.beside(arrow(*from, *to, *line), text),
            DrawnRow::Note { at, text } => {
                let mut lanes = lifelines('│');
                if let Some(party) = at {
                    lanes[lane(*party)] = '●';
                }
                self.beside(lanes, text);
            }
            DrawnRow::Wrong { text } => self.beside(lifelines('│'), text),
            DrawnRow::Gap { rows } => {
                self.beside(lifelines('⋮'), &[format!("… {} more", grouped(*rows))])
            }
            DrawnRow::Open { title } => {
                self.frame('┌', title);
                self.depth += 1;
            }
            DrawnRow::Divide => {
                self.depth = self.depth.saturating_sub(1);
                self.frame('├', "");
                self.depth += 1;
            }
            DrawnRow::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.frame('└', "");
            }
        }
    }

    /// A line from the frame's edge through all lifelines.
    fn frame(&mut self, corner: char, title: &str) {
        let edges = format!("{}{corner}", "│ ".repeat(self.depth));
        let rest = self.gutter + LANES[2] + 2 - edges.chars().count();
        let line = format!("{edges}{}", "─".repeat(rest));
        let width = self.gutter + TEXT;
        self.text
            .push_str(format!("{line:<width$}{title}").trim_end());
        self.text.push('\n');
    }
}

fn arrow(from: Party, to: Party, line: Line) -> Vec<char> {
    let mut cells = lifelines('│');
    let (a, b) = (lane(from), lane(to));
    let body = match line {
        Line::Solid => '─',
        Line::Dashed => '╌',
        Line::Heavy => '━',
    };
    for cell in cells.iter_mut().take(a.max(b)).skip(a.min(b) + 1) {
        *cell = body;
    }
    if a < b {
        cells[b - 1] = '▶';
    } else if b < a {
        cells[b + 1] = '◀';
    }
    cells
}

/// A word longer than a line, in pieces.
fn pieces(line: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    chars
        .chunks(width.max(1))
        .map(|piece| piece.iter().collect())
        .collect()
}
