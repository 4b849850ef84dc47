//! The parts of a line of `SHOW GRANTS`.

use std::collections::{BTreeMap, BTreeSet};

use super::grants::{ALL, Object};
use super::sql::Account;
use super::tokens::Token;

/// Reads a list such as `SELECT (a, b), INSERT`.
pub(super) fn privileges(tokens: &[Token]) -> Option<BTreeMap<Option<String>, BTreeSet<String>>> {
    let mut privileges: BTreeMap<Option<String>, BTreeSet<String>> = BTreeMap::new();
    let mut rest = tokens;
    loop {
        let is_word = |token: &Token| matches!(token, Token::Word(word) if word.is_ascii());
        let words = rest.iter().take_while(|&token| is_word(token)).count();
        let name: Vec<&str> = rest[..words].iter().filter_map(Token::name).collect();
        let name = match name.join(" ").to_ascii_uppercase() {
            name if name.is_empty() => return None,
            name if name == "ALL" => ALL.to_owned(),
            name => name,
        };
        rest = &rest[words..];
        if let [Token::Symbol('('), inner @ ..] = rest {
            let end = inner
                .iter()
                .position(|token| *token == Token::Symbol(')'))?;
            for column in inner[..end].split(|token| *token == Token::Symbol(',')) {
                let [column] = column else { return None };
                let column = column.name()?.to_owned();
                let held = privileges.entry(Some(column)).or_default();
                held.insert(name.clone());
            }
            rest = &inner[end + 1..];
        } else {
            privileges.entry(None).or_default().insert(name);
        }
        match rest {
            [] => return Some(privileges),
            [Token::Symbol(','), next @ ..] => rest = next,
            _ => return None,
        }
    }
}

/// Reads what stands behind `ON`.
pub(super) fn object(tokens: &[Token]) -> Option<Object> {
    let [kind @ .., database, Token::Symbol('.'), name] = tokens else {
        return None;
    };
    let kind = kind.iter().map(|token| match token {
        Token::Word(word) if word.is_ascii() => Some(word.to_ascii_uppercase()),
        _ => None,
    });
    let kind = kind.collect::<Option<Vec<String>>>()?.join(" ");
    let any = Token::Symbol('*');
    Some(match (kind.as_str(), *database == any, *name == any) {
        ("", true, true) => Object::Everywhere,
        ("", false, true) => Object::Database(database.name()?.to_owned()),
        ("" | "TABLE", ..) => Object::Table {
            database: database.name()?.to_owned(),
            name: name.name()?.to_owned(),
        },
        _ => Object::Routine {
            kind,
            database: database.name()?.to_owned(),
            name: name.name()?.to_owned(),
        },
    })
}

/// Reads the account row at the beginning, and what is behind it; none for a role of MariaDB's,
/// which has no host.
pub(super) fn account<'a>(tokens: &'a [Token<'a>]) -> Option<(Option<Account>, &'a [Token<'a>])> {
    match tokens {
        [user, Token::Symbol('@'), host, rest @ ..] => {
            let (user, host) = (user.name()?.to_owned(), host.name()?.to_owned());
            Some((Some(Account { user, host }), rest))
        }
        [role, rest @ ..] => role.name().map(|_| (None, rest)),
        [] => None,
    }
}
