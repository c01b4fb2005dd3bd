//! Rows drawn as an SVG image, for pages.

use super::{DrawnRow, Heads, Line};
use crate::party::Party;
use crate::text::{clean, grouped, wrap};
use std::fmt::Write as _;

/// Height of one line of text.
const LINE: usize = 18;
/// Where the lifelines are.
const LANES: [usize; 3] = [60, 190, 320];
/// Where the text begins.
const TEXT: usize = 380;
/// Width of the image.
const WIDTH: usize = 1000;
/// Characters of one line of text.
const COLUMNS: usize = 84;
/// Lines of one paragraph.
const LINES: usize = 6;

const STYLE: &str = "text{font:12px monospace;fill:#222}.head{font-weight:bold;text-anchor:middle}\
.player{text-anchor:middle;fill:#777}.life{stroke:#bbb}.message{stroke:#222}\
.signal{stroke:#222;stroke-dasharray:4 3}.wrong{stroke:#c00;stroke-width:2}.why{fill:#c00}\
.frame{fill:none;stroke:#888}.divide{stroke:#888;stroke-dasharray:2 4}.note{fill:#222}.gap{fill:#777}";

pub(super) fn draw(heads: &Heads, rows: &[DrawnRow]) -> String {
    let mut image = Image {
        body: String::new(),
        y: 56,
        frames: Vec::new(),
    };
    for row in rows {
        image.row(row);
    }
    let height = image.y + LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/>\
         </marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for ((party, player), x) in Party::ALL.iter().zip(heads.players).zip(LANES) {
        let _ = writeln!(
            svg,
            "<text class=\"head\" x=\"{x}\" y=\"20\">{party}</text>\
             <text class=\"player\" x=\"{x}\" y=\"36\">{player}</text>\
             <line class=\"life\" x1=\"{x}\" x2=\"{x}\" y1=\"42\" y2=\"{height}\"/>"
        );
    }
    svg.push_str(&image.body);
    svg.push_str("</svg>\n");
    svg
}

struct Image {
    body: String,
    y: usize,
    /// Where open frames begin.
    frames: Vec<usize>,
}

impl Image {
    fn row(&mut self, row: &DrawnRow) {
        match row {
            DrawnRow::Arrow {
                from,
                to,
                line,
                text,
            } => {
                let class = match line {
                    Line::Solid => "message",
                    Line::Dashed => "signal",
                    Line::Heavy => "wrong",
                };
                let (a, b, y) = (LANES[*from as usize], LANES[*to as usize], self.y - 4);
                let _ = writeln!(
                    self.body,
                    "<line class=\"{class}\" x1=\"{a}\" x2=\"{b}\" y1=\"{y}\" y2=\"{y}\" \
                     marker-end=\"url(#tip)\"/>"
                );
                self.paragraphs(text, "");
            }
            DrawnRow::Note { at, text } => {
                if let Some(party) = at {
                    let (x, y) = (LANES[*party as usize], self.y - 4);
                    let _ = writeln!(
                        self.body,
                        "<circle class=\"note\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"
                    );
                }
                self.paragraphs(text, "");
            }
            DrawnRow::Wrong { text } => self.paragraphs(text, "why"),
            DrawnRow::Gap { rows } => {
                self.paragraphs(&[format!("… {} more", grouped(*rows))], "gap")
            }
            DrawnRow::Open { title } => {
                self.frames.push(self.y - 12);
                self.paragraphs(std::slice::from_ref(title), "gap");
            }
            DrawnRow::Divide => {
                let (from, to, y) = (self.left(), LANES[2] + 30, self.y - 12);
                let _ = writeln!(
                    self.body,
                    "<line class=\"divide\" x1=\"{from}\" x2=\"{to}\" y1=\"{y}\" y2=\"{y}\"/>"
                );
            }
            DrawnRow::Close => {
                let left = self.left();
                let Some(top) = self.frames.pop() else { return };
                let (width, height) = (LANES[2] + 30 - left, self.y - top - 8);
                let _ = writeln!(
                    self.body,
                    "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
                );
                self.y += LINE / 2;
            }
        }
    }

    /// The left edge of the innermost frame.
    fn left(&self) -> usize {
        (8 * self.frames.len()).min(LANES[0] - 16)
    }

    fn paragraphs(&mut self, paragraphs: &[String], class: &str) {
        for paragraph in paragraphs {
            let lines = wrap(paragraph, COLUMNS);
            for line in lines.iter().take(LINES) {
                let _ = writeln!(
                    self.body,
                    "<text class=\"{class}\" x=\"{TEXT}\" y=\"{}\">{}</text>",
                    self.y,
                    escape(line)
                );
                self.y += LINE;
            }
        }
        if paragraphs.is_empty() {
            self.y += LINE;
        }
    }
}

fn escape(text: &str) -> String {
    clean(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
