//! Edits of a transcript, line by line. A line is told by a text that stands in no other.
//!
//! | edit | what becomes of the line |
//! |---|---|
//! | `change: A`, `to: B` | A becomes B; `in: TEXT` says in which line |
//! | `drop: TEXT` | it is gone |
//! | `repeat: TEXT` | it comes twice |
//! | `move: TEXT`, `before:` or `after: TEXT` | it stands elsewhere |
//! | `insert: LINES`, `before:` or `after: TEXT` | new lines stand beside it |
//! | `silence: TEXT` | it never comes, and nothing after it: a deadline passes instead |

use crate::transcript::{Transcript, notation};
use crate::yaml::Node;

/// The lines of the entries, without those of the header.
pub(super) fn lines(transcript: &Transcript, package: &str) -> Vec<String> {
    let text = notation::write(transcript, package);
    let lines = text.lines().skip(1 + transcript.bindings.len());
    lines.map(str::to_owned).collect()
}

/// Makes one edit.
pub(super) fn edit(lines: &mut Vec<String>, edit: &Node) -> Result<(), String> {
    let text = |key: &str| edit.get(key).and_then(Node::as_text);
    if let (Some(from), Some(to)) = (text("change"), text("to")) {
        let at = find(lines, text("in").unwrap_or(from))?;
        let changed = lines[at].replacen(from, to, 1);
        if changed == lines[at] {
            return Err(format!("{from:?} doesn't stand in {:?}", lines[at]));
        }
        lines[at] = changed;
    } else if let Some(dropped) = text("drop") {
        lines.remove(find(lines, dropped)?);
    } else if let Some(repeated) = text("repeat") {
        let at = find(lines, repeated)?;
        lines.insert(at, lines[at].clone());
    } else if let Some(moved) = text("move") {
        let line = lines.remove(find(lines, moved)?);
        lines.insert(place(lines, edit)?, line);
    } else if let Some(inserted) = text("insert") {
        let at = place(lines, edit)?;
        lines.splice(at..at, inserted.lines().map(str::to_owned));
    } else if let Some(silent) = text("silence") {
        lines.truncate(find(lines, silent)?);
        lines.push("deadline \"what never came\"".to_owned());
    } else {
        return Err("this is none of the edits".to_owned());
    }
    Ok(())
}

fn place(lines: &[String], edit: &Node) -> Result<usize, String> {
    let text = |key: &str| edit.get(key).and_then(Node::as_text);
    match (text("before"), text("after")) {
        (Some(before), None) => find(lines, before),
        (None, Some(after)) => Ok(find(lines, after)? + 1),
        _ => Err("before or after which line?".to_owned()),
    }
}

fn find(lines: &[String], text: &str) -> Result<usize, String> {
    let all: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].contains(text))
        .collect();
    match all.as_slice() {
        [one] => Ok(*one),
        _ => Err(format!(
            "{text:?} stands in {} lines of\n{}",
            all.len(),
            lines.join("\n")
        )),
    }
}
