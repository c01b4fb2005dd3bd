//! The system under test, from a system file or from options; and how it is written on a command line again.

use super::CommandError;
use super::arguments::SubjectArguments;
use super::catalog::Catalog;
use crate::system::{PartyConfig, System};
use crate::text::quoted;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The system that the arguments describe. Its waivers may name these scenarios, beside the built-in ones.
pub(super) fn system(
    subject: &SubjectArguments,
    catalog: &Catalog,
) -> Result<System, CommandError> {
    if let Some(file) = &subject.system {
        return System::read_for(file, &catalog.scenarios)
            .map_err(|error| CommandError::usage(error.to_string()));
    }
    let function = party(
        subject.function,
        subject.function_command.as_deref(),
        "--function-command",
    )?;
    let mut proxy = party(
        subject.proxy,
        subject.proxy_command.as_deref(),
        "--proxy-command",
    )?;
    if let Some(proxy) = &mut proxy {
        proxy.function_listen = subject.function_listen;
    }
    if function.is_none() && proxy.is_none() {
        return Err(CommandError::usage(
            "run needs a system under test\n  a user function: --function ADDRESS or --function-command COMMAND\n  \
             a proxy: --proxy ADDRESS --function-listen ADDRESS or --proxy-command COMMAND\n  \
             or a file that describes it: SYSTEM.yaml\n  see cloudstate-tck run --help",
        ));
    }
    let name = subject
        .name
        .clone()
        .unwrap_or_else(|| default_name(subject));
    let system = System {
        name,
        version: subject.system_version.clone(),
        function,
        proxy,
        folder: PathBuf::from("."),
        ..System::default()
    };
    match system.problem() {
        Some(problem) => Err(CommandError::usage(problem.to_string())),
        None => Ok(system),
    }
}

fn party(
    address: Option<SocketAddr>,
    command: Option<&str>,
    option: &str,
) -> Result<Option<PartyConfig>, CommandError> {
    let command = match command {
        None if address.is_none() => return Ok(None),
        None => Vec::new(),
        Some(text) => match words(text) {
            Some(words) if !words.is_empty() => words,
            Some(_) => return Err(CommandError::usage(format!("{option} is empty"))),
            None => {
                return Err(CommandError::usage(format!(
                    "a quote in {option} is not closed: {text}"
                )));
            }
        },
    };
    Ok(Some(PartyConfig {
        address,
        command,
        ..PartyConfig::default()
    }))
}

fn default_name(subject: &SubjectArguments) -> String {
    let described = [
        subject
            .function
            .map(|address| format!("function at {address}")),
        subject.function_command.clone(),
        subject.proxy.map(|address| format!("proxy at {address}")),
        subject.proxy_command.clone(),
    ];
    described
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

/// The arguments again, as a shell reads them.
pub(super) fn written(subject: &SubjectArguments) -> String {
    let address =
        |option: &str, address: Option<SocketAddr>| address.map(|a| format!("{option} {a}"));
    let text = |option: &str, text: &Option<String>| {
        text.as_ref().map(|t| format!("{option} {}", quoted(t)))
    };
    let parts = [
        subject
            .system
            .as_ref()
            .map(|file| quoted(&file.display().to_string())),
        address("--function", subject.function),
        text("--function-command", &subject.function_command),
        address("--proxy", subject.proxy),
        address("--function-listen", subject.function_listen),
        text("--proxy-command", &subject.proxy_command),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The words of a command, as a shell would split them: quotes hold words together, a backslash takes the meaning
/// of the next character away, except in single quotes. `None`: a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        let split = |text| words(text).unwrap().join("|");
        assert_eq!(
            split("node index.js --port {port}"),
            "node|index.js|--port|{port}"
        );
        assert_eq!(split(r#"a "b c" 'd "e' f\ g """#), r#"a|b c|d "e|f g|"#);
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("  "), Some(Vec::new()));
    }

    #[test]
    fn arguments_read_back_as_they_were() {
        for text in ["plain", "it's", "a b", "", "$HOME", "{port}"] {
            assert_eq!(words(&quoted(text)).unwrap(), [text]);
        }
    }
}
