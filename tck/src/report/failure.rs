//! One scenario that has something to say, as text, in five parts: which requirement and its sentence, the chart
//! drawn with the place where it went wrong, expected and received as a diff, the subject's last log lines, and the
//! command that runs it again.

use super::paint::Paint;
use super::{Class, Outcome, Report, ScenarioResult};
use crate::finding::{Finding, Mismatch, Severity, Verdict};
use crate::requirement::Level;
use crate::text::{clean, cut, grouped, wrap};
use similar::{ChangeTag, TextDiff};

/// Columns of running text.
const WIDTH: usize = 96;
/// Characters of one line of a diff; payloads may be megabytes.
const LINE: usize = 240;
/// Lines of one diff.
const LINES: usize = 40;
/// Equal characters that stay before the first difference of a long line.
const CONTEXT: usize = 24;

/// All five parts, each line without its line end.
pub(super) fn lines(report: &Report, result: &ScenarioResult, paint: Paint) -> Vec<String> {
    let mut out = vec![heading(result, paint)];
    out.extend(
        wrap(&clean(&result.title), WIDTH - 6)
            .iter()
            .map(|line| format!("      {line}")),
    );
    out.push(String::new());
    match result.root() {
        Some(root) => {
            out.extend(requirement(report, root, paint));
            out.extend(drawing(result, paint));
            out.extend(difference(root, paint));
            out.extend(others(result, root, paint));
        }
        None => out.extend(drawing(result, paint)),
    }
    if let Some(error) = &result.error {
        let heading = match result.outcome {
            Outcome::Ran {
                verdict: Verdict::Error,
            } => "what went wrong, in the kit or around it",
            _ => "what else happened",
        };
        out.push(format!("  {}", paint.bold(heading)));
        out.extend(clean(error).lines().map(|line| format!("    {line}")));
        out.push(String::new());
    }
    if !result.log_tail.is_empty() {
        out.push(format!(
            "  {}",
            paint.bold("the last lines of the subject's log")
        ));
        out.extend(
            result
                .log_tail
                .iter()
                .map(|line| format!("    | {}", cut(&clean(line), LINE))),
        );
        out.push(String::new());
    }
    out.extend(pointers(report, result, paint));
    out
}

/// The word that a class stands under in headings.
fn word(class: Class, paint: Paint) -> String {
    match class {
        Class::Passed => paint.green("PASS"),
        Class::Warned => paint.yellow("WARN"),
        Class::Waived => paint.yellow("WAIVED"),
        Class::NotApplicable => paint.dim("N/A"),
        Class::Inconclusive => paint.yellow("INCONCLUSIVE"),
        Class::Failed => paint.red("FAIL"),
        Class::Error => paint.red("ERROR"),
    }
}

fn heading(result: &ScenarioResult, paint: Paint) -> String {
    let name = paint.bold(&clean(&result.full_name()));
    format!("{}  {name} ({})", word(result.class(), paint), result.role)
}

/// What a finding says about which sentence. One line.
pub(super) fn accusation(report: &Report, finding: &Finding) -> String {
    let name = &finding.requirement;
    let level = report.requirement(name).map(|r| r.level);
    match (finding.blame, finding.severity) {
        (None, _) => format!("{name} is not kept, and it can't be told by whom"),
        (Some(party), Severity::Failure) => format!("the {party} breaks {name}{}", keyword(level)),
        (Some(party), Severity::Warning) => {
            format!("the {party} doesn't follow {name}{}", keyword(level))
        }
    }
}

fn keyword(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Must) => " (MUST)",
        Some(Level::Should) => " (SHOULD)",
        Some(Level::May) => " (MAY)",
        None => "",
    }
}

fn requirement(report: &Report, root: &Finding, paint: Paint) -> Vec<String> {
    let mut out = vec![format!("  {}", paint.bold(&accusation(report, root)))];
    if let Some(requirement) = report.requirement(&root.requirement) {
        let sentence = wrap(&requirement.sentence, WIDTH - 4);
        out.extend(
            sentence
                .iter()
                .map(|line| format!("    {}", paint.dim(line))),
        );
        let chapter = format!("spec/{}", requirement.chapter);
        out.push(format!("    {}", paint.dim(&chapter)));
    }
    out.extend(
        wrap(&clean(&root.summary), WIDTH - 2)
            .iter()
            .map(|line| format!("  {line}")),
    );
    out.push(String::new());
    out
}

fn drawing(result: &ScenarioResult, paint: Paint) -> Vec<String> {
    if result.diagram.is_empty() {
        return Vec::new();
    }
    let mut out: Vec<String> = clean(&result.diagram)
        .lines()
        .map(|line| match format!("  {line}").trim_end() {
            line if line.contains('✗') || line.contains('━') => paint.red(line),
            line => line.to_owned(),
        })
        .collect();
    out.push(String::new());
    out
}

fn difference(finding: &Finding, paint: Paint) -> Vec<String> {
    if finding.mismatches.is_empty() {
        return Vec::new();
    }
    let legend = format!("{}, {}", paint.red("- expected"), paint.green("+ received"));
    let mut out = vec![format!("  {legend}")];
    for mismatch in &finding.mismatches {
        let path = if mismatch.path.is_empty() {
            "the message"
        } else {
            &mismatch.path
        };
        out.push(format!("    {}", paint.bold(&clean(path))));
        out.extend(
            diff(mismatch, paint)
                .into_iter()
                .map(|line| format!("      {line}")),
        );
    }
    out.push(String::new());
    out
}

/// Line by line; what is equal has neither sign.
fn diff(mismatch: &Mismatch, paint: Paint) -> Vec<String> {
    let (expected, received) = (clean(&mismatch.expected), clean(&mismatch.received));
    let (expected, received) = elide_equal_start(&expected, &received);
    let diff = TextDiff::from_lines(&expected, &received);
    let mut out = Vec::new();
    for change in diff.iter_all_changes() {
        let text = cut(change.value().trim_end_matches('\n'), LINE);
        out.push(match change.tag() {
            ChangeTag::Equal => format!("  {text}"),
            ChangeTag::Delete => paint.red(&format!("- {text}")),
            ChangeTag::Insert => paint.green(&format!("+ {text}")),
        });
    }
    if out.len() > LINES {
        let more = out.len() - LINES;
        out.truncate(LINES);
        out.push(format!("… {} more lines", grouped(more)));
    }
    out
}

/// Two long lines that begin alike are shown from shortly before where they part.
fn elide_equal_start(expected: &str, received: &str) -> (String, String) {
    let long = |text: &str| text.len() > LINE && !text.contains('\n');
    let equal = expected
        .chars()
        .zip(received.chars())
        .take_while(|(a, b)| a == b)
        .count();
    if !(long(expected) || long(received)) || equal <= 2 * CONTEXT {
        return (expected.to_owned(), received.to_owned());
    }
    let skip = equal - CONTEXT;
    let rest = |text: &str| {
        let rest: String = text.chars().skip(skip).collect();
        format!("({} equal characters) …{rest}", grouped(skip))
    };
    (rest(expected), rest(received))
}

/// The findings beside the root: one line each.
fn others(result: &ScenarioResult, root: &Finding, paint: Paint) -> Vec<String> {
    let others: Vec<&Finding> = result
        .findings
        .iter()
        .filter(|f| !std::ptr::eq(*f, root))
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut out = vec![format!("  {}", paint.bold("also found"))];
    for finding in others {
        let note = match (finding.consequence, finding.severity) {
            (true, _) => " (follows from the above, not counted)",
            (false, Severity::Warning) => " (warning)",
            (false, Severity::Failure) => "",
        };
        out.push(format!(
            "    {}: {}{note}",
            finding.requirement,
            cut(&clean(&finding.summary), LINE)
        ));
    }
    out.push(String::new());
    out
}

fn pointers(report: &Report, result: &ScenarioResult, paint: Paint) -> Vec<String> {
    let mut out = Vec::new();
    let mut point = |label: &str, text: String| {
        out.push(format!("  {} {text}", paint.dim(&format!("{label:<10}"))))
    };
    match result.step_line {
        Some(line) => point(
            "scenario",
            format!("{}, the step in line {line}", result.source),
        ),
        None => point("scenario", result.source.to_string()),
    }
    if let Some(path) = &result.transcript {
        point(
            "transcript",
            format!("{path} ({} entries)", grouped(result.entries)),
        );
    }
    if let Some(command) = report.rerun(result) {
        point("run again", command);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch(expected: &str, received: &str) -> Mismatch {
        Mismatch {
            path: String::new(),
            expected: expected.into(),
            received: received.into(),
        }
    }

    #[test]
    fn lines_that_are_equal_have_no_sign() {
        let lines = diff(&mismatch("a: 1\nb: 2\n", "a: 1\nb: 3\n"), Paint::Plain);
        assert_eq!(lines, ["  a: 1", "- b: 2", "+ b: 3"]);
    }

    #[test]
    fn a_megabyte_is_shown_from_where_it_differs() {
        let long = "x".repeat(1 << 20);
        let lines = diff(
            &mismatch(&format!("{long}AB"), &format!("{long}C")),
            Paint::Plain,
        );
        assert_eq!(
            lines[0],
            format!("- (1,048,552 equal characters) …{}AB", "x".repeat(24))
        );
        assert_eq!(
            lines[1],
            format!("+ (1,048,552 equal characters) …{}C", "x".repeat(24))
        );
    }
}
