//! The pieces of a statement, as servers write it: keywords, names in whichever quotes, symbols.

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, or a name without quotes.
    Word(String),
    /// A name or text in quotes, without them.
    Quoted(String),
    Symbol(char),
}

impl Token {
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// What it names, if it can be a name.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name.clone()),
            Self::Symbol(_) => None,
        }
    }
}

/// The pieces of a statement, and where each begins; `None` where a quote does not end.
pub(super) fn tokens(text: &str) -> Option<(Vec<usize>, Vec<Token>)> {
    let (mut starts, mut tokens) = (Vec::new(), Vec::new());
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let token = match c {
            _ if c.is_whitespace() => continue,
            '`' | '"' | '\'' => {
                let mut quoted = String::new();
                loop {
                    match chars.next()?.1 {
                        // Doubled it is a part of the name.
                        end if end == c => match chars.next_if(|&(_, next)| next == c) {
                            Some(_) => quoted.push(c),
                            None => break,
                        },
                        '\\' if c == '\'' => unescape_one(chars.next()?.1, &mut quoted),
                        inner => quoted.push(inner),
                    }
                }
                Token::Quoted(quoted)
            }
            _ if is_of_word(c) => {
                let mut word = String::from(c);
                while let Some((_, c)) = chars.next_if(|&(_, c)| is_of_word(c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
            _ => Token::Symbol(c),
        };
        starts.push(start);
        tokens.push(token);
    }
    Some((starts, tokens))
}

/// What the servers take in a name without quotes.
pub(super) fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii() && !c.is_whitespace()
}

/// Adds what a backslash and this character stand for in a text.
/// <https://dev.mysql.com/doc/refman/9.7/en/string-literals.html>
pub(super) fn unescape_one(c: char, text: &mut String) {
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
