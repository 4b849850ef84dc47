//! What the name of a database stands for in a grant.

/// What the name of a database stands for in a grant on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// All databases that it covers as a pattern: `_` and `%` stand for others, `\` escapes.
    Patterns,
    /// The one database of this name: MySQL with `partial_revokes`.
    /// <https://dev.mysql.com/doc/refman/9.7/en/partial-revokes.html>
    Literal,
}

impl Names {
    /// Whether a grant on this name covers the database.
    pub fn include(self, name: &str, database: &str) -> bool {
        match self {
            Self::Patterns => matches(name, database),
            Self::Literal => name == database,
        }
    }

    /// The name that covers this database and no other.
    pub fn of(self, database: &str) -> String {
        match self {
            Self::Patterns => database
                .replace('\\', "\\\\")
                .replace('_', "\\_")
                .replace('%', "\\%"),
            Self::Literal => database.to_owned(),
        }
    }
}

pub(super) fn unescape(pattern: &str) -> String {
    let mut name = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        name.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    name
}

/// Whether the pattern of a database grant covers this name.
/// <https://dev.mysql.com/doc/refman/9.7/en/grant.html#grant-quoting>
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.chars();
    // Which beginnings of the name the pattern so far covers, by their length: no pattern takes
    // longer than its length times the name's.
    let name: Vec<char> = name.chars().collect();
    let mut covered = vec![false; name.len() + 1];
    covered[0] = true;
    while let Some(c) = pattern.next() {
        if c == '%' {
            let first = covered.iter().position(|&is| is).unwrap_or(covered.len());
            covered[first..].fill(true);
            continue;
        }
        let one = match c {
            '_' => None,
            '\\' => Some(pattern.next().unwrap_or(c)),
            c => Some(c),
        };
        for length in (0..name.len()).rev() {
            covered[length + 1] = covered[length] && one.is_none_or(|one| one == name[length]);
        }
        covered[0] = false;
        if !covered.contains(&true) {
            return false;
        }
    }
    covered[name.len()]
}
