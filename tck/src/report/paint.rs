//! Colours, or none.

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Escape sequences of ANSI terminals.
    Colour,
    /// Text alone.
    Plain,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Paint::Colour if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What is right.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What should be looked at.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Names and headings.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}
