//! What an account holds, read from `SHOW GRANTS`, and how it is taken away and given back exactly.
//!
//! A line of `SHOW GRANTS` is itself the statement that gives the grant back:
//! <https://dev.mysql.com/doc/refman/9.7/en/show-grants.html>.

use std::fmt;

use crate::sql::Account;

/// Where a grant applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `*.*`
    Everywhere,
    /// A database, by a pattern in which `_` and `%` stand for others and `\` escapes.
    Database(String),
    /// One table or routine of the database of this name.
    Object(String),
    /// No object: a role.
    Role,
    /// Another account, for which this one may log in (`PROXY`).
    Proxy,
}

/// One line of `SHOW GRANTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The line, as the server shows it.
    pub line: String,
    /// Where it applies.
    pub scope: Scope,
    privileges: String,
    object: String,
    account: String,
    may_pass_on: bool,
}

/// Privileges that open the data of a database, as the servers' manuals name them. Others, such as `PROCESS`, do not.
const ON_DATA: [&str; 21] = [
    "ALL",
    "ALL PRIVILEGES",
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
    "TRIGGER",
    "DELETE HISTORY",
];

impl Grant {
    /// Reads one line of `SHOW GRANTS`; `None` for a line that grants nothing (`SET DEFAULT ROLE`, a partial revoke).
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("GRANT ")?;
        let to = find(rest, " TO ")?;
        let (granted, rest) = (&rest[..to], &rest[to + 4..]);
        let account = &rest[..find(rest, " ").unwrap_or(rest.len())];
        let (privileges, object) = match find(granted, " ON ") {
            Some(on) => (&granted[..on], &granted[on + 4..]),
            None => (granted, ""),
        };
        let scope = match object {
            "" => Scope::Role,
            "*.*" => Scope::Everywhere,
            _ if privileges == "PROXY" => Scope::Proxy,
            _ => {
                let named = object.find('`').map_or(object, |at| &object[at..]);
                let dot = find(named, ".")?;
                let name = unquote(&named[..dot]);
                if &named[dot..] == ".*" {
                    Scope::Database(name)
                } else {
                    Scope::Object(name)
                }
            }
        };
        Some(Self {
            line: line.to_owned(),
            scope,
            privileges: privileges.to_owned(),
            object: object.to_owned(),
            account: account.to_owned(),
            may_pass_on: rest.ends_with(" WITH GRANT OPTION"),
        })
    }

    /// Whether this is a grant on the database of this name, on one of its tables or on one of its routines.
    pub fn is_on(&self, database: &str) -> bool {
        match &self.scope {
            // Both spellings stand for this database: the escaped one, and the one that most people type.
            Scope::Database(pattern) => pattern == database || unescape(pattern) == database,
            Scope::Object(name) => name == database,
            _ => false,
        }
    }

    /// Whether it opens the data of the database of this name and is not [on](Self::is_on) it: a way in that stays.
    pub fn is_another_way_into(&self, database: &str) -> bool {
        match &self.scope {
            Scope::Everywhere => self.opens_data(),
            Scope::Database(pattern) => {
                !self.is_on(database) && self.opens_data() && matches(pattern, database)
            }
            Scope::Object(_) => false,
            // What a role or another account holds may change at any time: never rely on it.
            Scope::Role | Scope::Proxy => true,
        }
    }

    /// Whether it opens the data of the database of this name in whatever way.
    pub fn reaches(&self, database: &str) -> bool {
        self.is_on(database) || self.is_another_way_into(database)
    }

    /// Whether it is a global grant of this privilege, or of all.
    pub fn gives_everywhere(&self, privilege: &str) -> bool {
        self.scope == Scope::Everywhere && self.gives_some(privilege)
    }

    /// Whether it gives this privilege on the database of this name.
    pub fn gives(&self, privilege: &str, database: &str) -> bool {
        let covers = match &self.scope {
            Scope::Everywhere => true,
            Scope::Database(pattern) => matches(pattern, database),
            _ => false,
        };
        covers && self.gives_some(privilege)
    }

    fn gives_some(&self, privilege: &str) -> bool {
        self.list()
            .any(|held| held == privilege || held == "ALL PRIVILEGES" || held == "ALL")
    }

    /// Whether its line grants this to one account and says nothing else, so that it is safe to run whoever wrote it.
    pub fn is_plain(&self) -> bool {
        let option = if self.may_pass_on {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let plain = format!(
            "GRANT {} ON {} TO {}{option}",
            self.privileges, self.object, self.account
        );
        let mut quoted = false;
        let mut syntax = self.line.chars().filter(|&c| {
            quoted ^= c == '`';
            !quoted
        });
        plain == self.line
            && self.account().is_some()
            && syntax.all(|c| c.is_ascii_alphanumeric() || " _`,().*@".contains(c))
    }

    /// Whether its holder may pass it on.
    pub fn may_be_passed_on(&self) -> bool {
        self.may_pass_on
    }

    fn list(&self) -> impl Iterator<Item = &str> {
        self.privileges.split(',').map(str::trim)
    }

    fn opens_data(&self) -> bool {
        self.list().any(|held| ON_DATA.contains(&held))
    }

    /// The account row that holds it.
    pub fn account(&self) -> Option<Account> {
        Account::parse(&self.account)
    }

    /// Whether it gives all that the other one gives, to the same account row on the same object.
    pub fn covers(&self, other: &Self) -> bool {
        let everything = self.list().any(|held| held == "ALL PRIVILEGES");
        self.object == other.object
            && self.account == other.account
            && self.may_pass_on >= other.may_pass_on
            && other.list().all(|wanted| {
                everything || wanted == "USAGE" || self.list().any(|held| held == wanted)
            })
    }

    /// The statements that take exactly this grant away.
    pub fn revoke(&self) -> Vec<String> {
        let from = |what: &str| format!("REVOKE {what} ON {} FROM {}", self.object, self.account);
        let mut statements = Vec::new();
        if self.privileges != "USAGE" {
            statements.push(from(&self.privileges));
        }
        if self.may_pass_on {
            // "ALL PRIVILEGES" leaves the grant option: https://dev.mysql.com/doc/refman/9.7/en/revoke.html
            statements.push(from("GRANT OPTION"));
        }
        statements
    }
}

impl fmt::Display for Grant {
    /// What is granted, and not the whole line: MariaDB's may end in the password's hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.privileges)?;
        if !self.object.is_empty() {
            write!(f, " ON {}", self.object)?;
        }
        Ok(())
    }
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

fn unquote(identifier: &str) -> String {
    identifier
        .strip_prefix('`')
        .and_then(|inner| inner.strip_suffix('`'))
        .map_or_else(|| identifier.to_owned(), |inner| inner.replace("``", "`"))
}

fn unescape(pattern: &str) -> String {
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
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern = pattern.chars();
    // Which beginnings of the name the pattern so far covers, by their length: no pattern takes longer than its length
    // times the name's.
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
    }
    covered[name.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(line: &str) -> Grant {
        Grant::parse(line).unwrap()
    }

    #[test]
    fn a_database_is_known_in_both_spellings() {
        assert!(grant("GRANT ALL PRIVILEGES ON `node1_db`.* TO `user`@`%`").is_on("node1_db"));
        assert!(grant("GRANT SELECT ON `node1\\_db`.* TO `user`@`%`").is_on("node1_db"));
        assert!(!grant("GRANT SELECT ON `node2\\_db`.* TO `user`@`%`").is_on("node1_db"));
    }

    #[test]
    fn tables_and_routines_belong_to_their_database() {
        assert!(grant("GRANT SELECT (`a`), INSERT ON `node1_db`.`t` TO `u`@`%`").is_on("node1_db"));
        assert!(grant("GRANT EXECUTE ON PROCEDURE `node1_db`.`p` TO `u`@`%`").is_on("node1_db"));
        assert!(
            !grant("GRANT EXECUTE ON PROCEDURE `other`.`node1_db` TO `u`@`%`").is_on("node1_db")
        );
    }

    #[test]
    fn what_is_granted_is_what_is_revoked() {
        assert_eq!(
            grant("GRANT SELECT (`a`), INSERT ON `d`.`t` TO `u`@`%` WITH GRANT OPTION").revoke(),
            [
                "REVOKE SELECT (`a`), INSERT ON `d`.`t` FROM `u`@`%`",
                "REVOKE GRANT OPTION ON `d`.`t` FROM `u`@`%`"
            ]
        );
        assert_eq!(
            grant("GRANT USAGE ON `d`.* TO `u`@`%` WITH GRANT OPTION").revoke(),
            ["REVOKE GRANT OPTION ON `d`.* FROM `u`@`%`"]
        );
    }

    #[test]
    fn names_that_look_like_syntax_are_read_as_names() {
        let odd = grant("GRANT SELECT ON `a TO b`` ON ``c.*`.* TO `it's TO`@`%` WITH GRANT OPTION");
        assert!(odd.is_on("a TO b` ON `c.*"));
        assert_eq!(
            odd.revoke()[0],
            "REVOKE SELECT ON `a TO b`` ON ``c.*`.* FROM `it's TO`@`%`"
        );
    }

    #[test]
    fn other_ways_in_are_named() {
        for way_in in [
            "GRANT SELECT, PROCESS ON *.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A'",
            "GRANT `admin`@`%` TO `u`@`%`",
            "GRANT SELECT ON `node%`.* TO `u`@`%`",
            "GRANT SELECT ON `node__db`.* TO `u`@`%`",
            "GRANT PROXY ON `root`@`%` TO `u`@`%`",
        ] {
            assert!(grant(way_in).is_another_way_into("node1_db"), "{way_in}");
        }
        for harmless in [
            "GRANT USAGE ON *.* TO `u`@`%`",
            "GRANT PROCESS ON *.* TO `u`@`%`",
            "GRANT SELECT ON `node2%`.* TO `u`@`%`",
            "GRANT SELECT ON `node1\\_db`.* TO `u`@`%`",
            "GRANT SELECT ON `node2_db`.`node1_db` TO `u`@`%`",
        ] {
            assert!(
                !grant(harmless).is_another_way_into("node1_db"),
                "{harmless}"
            );
        }
    }

    #[test]
    fn patterns_cover_what_the_server_says_that_they_cover() {
        for (pattern, covered, not) in [
            ("node%", &["node", "node1_db"][..], &["nod", "mynode"][..]),
            ("node_", &["node1", "node_"], &["node", "node12"]),
            ("node\\_", &["node_"], &["node1", "node\\_"]),
            ("%1%", &["1", "a1b", "11"], &["", "ab"]),
            ("\\%\\\\", &["%\\"], &["a\\", "%"]),
            ("a\\", &["a\\"], &["a", "ab"]),
            ("", &[""], &["a"]),
        ] {
            for name in covered {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in not {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
        // It takes no time that grows with the number of ways.
        assert!(!matches(&"%a".repeat(32), &"a".repeat(31)));
        assert!(!matches(&("%a".repeat(30) + "b"), &"a".repeat(64)));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in any::<String>(), name in any::<String>()) {
            for line in [line.clone(), format!("GRANT {line}"), format!("GRANT SELECT ON {line} TO {name}")] {
                if let Some(grant) = Grant::parse(&line) {
                    let _ = (grant.is_on(&name), grant.reaches(&name), grant.revoke(), grant.is_plain(), grant.account());
                }
            }
        }

        #[test]
        fn any_name_is_read_as_a_name(user in any::<String>(), host in any::<String>(), database in any::<String>()) {
            let account = Account { user, host };
            let quoted = format!("`{}`", database.replace('`', "``"));
            let line = format!("GRANT SELECT ON {quoted}.`t` TO {account} WITH GRANT OPTION");
            let grant = Grant::parse(&line).unwrap();
            prop_assert!(grant.is_on(&database) && grant.is_plain());
            prop_assert_eq!(grant.account(), Some(account));
        }
    }
}
