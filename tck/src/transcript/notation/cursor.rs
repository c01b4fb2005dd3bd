//! A place in a line, and what can be read from there.

use super::NotationError;
use crate::scenario::message;
use bytes::Bytes;

/// Ends a word that isn't in quotes.
const SIGNS: &str = "{},:=()\"";

pub(super) struct Cursor<'a> {
    /// Its number, from 1.
    number: usize,
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(number: usize, line: &'a str) -> Cursor<'a> {
        let mut cursor = Cursor {
            number,
            line,
            at: 0,
        };
        cursor.skip();
        cursor
    }

    pub fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn skip(&mut self) {
        self.at = self.line.len() - self.rest().trim_start().len();
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (text, _) = self.rest().split_at(bytes);
        self.at += bytes;
        self.skip();
        text
    }

    /// What is wrong so many bytes from here.
    pub fn wrong_at(&self, bytes: usize, problem: impl Into<String>) -> NotationError {
        let before = self.line.get(..self.at + bytes).unwrap_or(self.line);
        NotationError {
            line: self.number,
            column: before.chars().count() + 1,
            problem: problem.into(),
        }
    }

    pub fn expected(&self, what: &str) -> NotationError {
        let found = match self.rest() {
            "" => "the end of the line".to_owned(),
            rest => format!("{:?}", rest.chars().take(30).collect::<String>()),
        };
        self.wrong_at(0, format!("expected {what}, found {found}"))
    }

    pub fn end(&self) -> Result<(), NotationError> {
        if self.rest().is_empty() {
            return Ok(());
        }
        Err(self.expected("the end of the line"))
    }

    /// Takes this, if it stands here.
    pub fn has(&mut self, text: &str) -> bool {
        let stands = !text.is_empty() && self.rest().starts_with(text);
        if stands {
            self.advance(text.len());
        }
        stands
    }

    pub fn needs(&mut self, text: &str) -> Result<(), NotationError> {
        if self.has(text) {
            return Ok(());
        }
        Err(self.expected(text))
    }

    /// Up to the next space or sign.
    pub fn word(&self) -> &'a str {
        let ends = |c: char| c.is_whitespace() || SIGNS.contains(c);
        let end = self.rest().find(ends).unwrap_or(self.rest().len());
        &self.rest()[..end]
    }

    /// A word that means something; it is taken only then.
    pub fn maybe<T>(&mut self, meaning: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let word = self.word();
        let found = meaning(word)?;
        self.advance(word.len());
        Some(found)
    }

    pub fn read<T>(
        &mut self,
        what: &str,
        meaning: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, NotationError> {
        self.maybe(meaning).ok_or_else(|| self.expected(what))
    }

    /// A text in quotes, if one stands here.
    pub fn quotation(&mut self) -> Result<Option<String>, NotationError> {
        let Some(inside) = self.rest().strip_prefix('"') else {
            return Ok(None);
        };
        let mut escaped = false;
        let closes = |c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        };
        let Some(end) = inside.find(closes) else {
            return Err(self.wrong_at(0, "this quotation mark is never closed"));
        };
        // The escapes are those of JSON.
        match serde_json::from_str(&self.rest()[..end + 2]) {
            Ok(text) => {
                self.advance(end + 2);
                Ok(Some(text))
            }
            Err(error) => Err(self.wrong_at(0, format!("this is no quoted text: {error}"))),
        }
    }

    /// A word, or a text in quotes.
    pub fn text(&mut self, what: &str) -> Result<String, NotationError> {
        if let Some(text) = self.quotation()? {
            return Ok(text);
        }
        self.read(what, |word| (!word.is_empty()).then(|| word.to_owned()))
    }

    /// `{ name: value, … }`, or nothing.
    pub fn fields(&mut self) -> Result<Vec<(String, String)>, NotationError> {
        let mut all = Vec::new();
        if !self.has("{") {
            return Ok(all);
        }
        while !self.has("}") {
            if !all.is_empty() {
                self.needs(",")?;
            }
            let name = self.text("the name of a header")?;
            self.needs(":")?;
            all.push((name, self.text("the value of a header")?));
        }
        Ok(all)
    }

    /// Hexadecimal digits.
    pub fn bytes(&mut self) -> Result<Bytes, NotationError> {
        let what = "an even number of hexadecimal digits";
        self.read(what, message::hex_bytes).map(Bytes::from)
    }
}
