//! The pieces of a statement, as servers write it: keywords, names in whichever quotes, symbols.

use std::borrow::Cow;

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, or a name without quotes.
    Word(&'a str),
    /// A name or text in quotes, without them.
    Quoted(Cow<'a, str>),
    Symbol(char),
}

impl Token<'_> {
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// What it names, if it can be a name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) => Some(name),
            Self::Quoted(name) => Some(name),
            Self::Symbol(_) => None,
        }
    }
}

/// The pieces of a statement, and where each begins; `None` where a quote does not end.
pub(super) fn tokens(text: &str) -> Option<(Vec<usize>, Vec<Token<'_>>)> {
    // As many as most lines have.
    let (mut starts, mut tokens) = (Vec::with_capacity(16), Vec::with_capacity(16));
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let start = text.len() - rest.len();
        let token;
        (token, rest) = match c {
            '`' | '"' | '\'' => {
                let (quoted, rest) = unquote(c, &rest[1..])?;
                (Token::Quoted(quoted), rest)
            }
            _ if is_of_word(c) => {
                let word = first_word(rest);
                (Token::Word(word), &rest[word.len()..])
            }
            _ => (Token::Symbol(c), &rest[c.len_utf8()..]),
        };
        rest = rest.trim_start();
        starts.push(start);
        tokens.push(token);
    }
    Some((starts, tokens))
}

/// The keyword, or the name without quotes, that it begins with.
pub(super) fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_of_word(c)).unwrap_or(text.len())]
}

/// Reads up to the end of what this quote has opened, and returns what is behind it too.
fn unquote(quote: char, text: &str) -> Option<(Cow<'_, str>, &str)> {
    let is_special = |c| c == quote || c == '\\' && quote == '\'';
    let (mut quoted, mut rest) = (Cow::Borrowed(""), text);
    loop {
        let at = rest.find(is_special)?;
        quoted += &rest[..at];
        let mut chars = rest[at..].chars();
        let special = chars.next()?;
        let behind = chars.as_str();
        match chars.next() {
            Some(escaped) if special == '\\' => unescape_one(escaped, quoted.to_mut()),
            // Doubled it is a part of the name.
            Some(next) if next == quote => quoted.to_mut().push(quote),
            _ if special == quote => return Some((quoted, behind)),
            _ => return None,
        }
        rest = chars.as_str();
    }
}

/// What the servers take in a name without quotes.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii() && !c.is_whitespace()
}

/// Adds what a backslash and this character stand for in a text.
/// <https://dev.mysql.com/doc/refman/9.7/en/string-literals.html>
fn unescape_one(c: char, text: &mut String) {
    if matches!(c, '%' | '_') {
        text.push('\\');
    }
    text.push(match c {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        c => c,
    });
}

/// Where `needle` first stands outside quotes.
pub fn find(text: &str, needle: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if text[at..].starts_with(needle) => return Some(at),
            None if matches!(c, '`' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    None
}
