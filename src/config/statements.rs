//! The statements of a `.env`, split as the application's python-dotenv does it.
//! <https://github.com/theskumar/python-dotenv/blob/main/src/dotenv/parser.py>

/// White space to Python.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

pub(super) fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

/// Python-dotenv's binding: mostly a line, more where quotes span lines. Comments are none.
pub struct Statement<'a> {
    pub start: usize,
    pub end: usize,
    /// The name, and what stands behind its `=`; nothing where python-dotenv reads nothing.
    pub read: Option<(&'a str, Option<Value<'a>>)>,
}

#[derive(Default)]
pub struct Value<'a> {
    /// As it stands there, with its quotes.
    pub text: &'a str,
    /// As python-dotenv reads it, before it looks for references.
    pub decoded: String,
    /// It is empty, and a comment follows: `NAME= # comment`.
    pub is_comment: bool,
}

/// The name of what has none.
pub(super) const COMMENT: &str = "";

/// Python-dotenv's parser, function by function; line ends are `\n` only.
pub struct Statements<'a> {
    pub text: &'a str,
    at: usize,
}

impl<'a> Iterator for Statements<'a> {
    type Item = Statement<'a>;

    fn next(&mut self) -> Option<Statement<'a>> {
        loop {
            self.take(is_space);
            let start = self.at;
            if self.rest().is_empty() {
                return None;
            }
            let read = self.binding();
            if read.is_none() {
                // It does not go back to where the statement began.
                self.take(|c| c != '\n');
                self.eat("\n");
            }
            let end = self.at;
            if !matches!(read, Some((COMMENT, _))) {
                return Some(Statement { start, end, read });
            }
        }
    }
}

impl<'a> Statements<'a> {
    pub fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn binding(&mut self) -> Option<(&'a str, Option<Value<'a>>)> {
        if self
            .rest()
            .strip_prefix("export")
            .is_some_and(|rest| rest.starts_with(is_blank))
        {
            self.eat("export");
            self.take(is_blank);
        }
        let name = self.name()?;
        self.take(is_blank);
        let value = if self.eat("=") {
            Some(self.value()?)
        } else {
            None
        };
        self.take(is_blank);
        if self.rest().starts_with('#') {
            self.take(|c| c != '\n');
        }
        (self.rest().is_empty() || self.eat("\n")).then_some((name, value))
    }

    fn name(&mut self) -> Option<&'a str> {
        if self.rest().starts_with('#') {
            return Some(COMMENT);
        }
        let name = if let Some(rest) = self.rest().strip_prefix('\'') {
            let (name, _) = rest.split_once('\'')?;
            self.at += if name.is_empty() { 0 } else { name.len() + 2 };
            name
        } else {
            self.take(|c| !(is_space(c) || c == '=' || c == '#'))
        };
        (!name.is_empty()).then_some(name)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let blanks = self.take(is_blank);
        let rest = self.rest();
        let is_comment = !blanks.is_empty() && rest.starts_with('#');
        if is_comment {
            return Some(Value {
                is_comment,
                ..Value::default()
            });
        }
        for (quote, escapes) in [('\'', "\\'"), ('"', "\\'\"abfnrtv")] {
            if rest.starts_with(quote) {
                let text = quoted(rest, quote)?;
                self.at += text.len();
                let decoded = decode(&text[1..text.len() - 1], escapes);
                return Some(Value {
                    text,
                    decoded,
                    is_comment,
                });
            }
        }
        let line = self.take(|c| c != '\n');
        let mut comments = line.match_indices('#').map(|(at, _)| &line[..at]);
        let text = comments
            .find(|before| before.ends_with(is_space))
            .unwrap_or(line);
        let text = text.trim_end_matches(is_space);
        Some(Value {
            text,
            decoded: text.to_owned(),
            is_comment,
        })
    }
}

/// The text up to the quote that closes the one that it begins with.
pub(super) fn quoted(text: &str, quote: char) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(&text[..=at]),
            _ => {}
        }
    }
    None
}

/// A backslash stays one, except before these.
pub(super) fn decode(text: &str, escapes: &str) -> String {
    let mut decoded = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let escape = characters.next_if(|&next| c == '\\' && escapes.contains(next));
        decoded.push(match escape {
            None => c,
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some(other) => other,
        });
    }
    decoded
}
