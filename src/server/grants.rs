//! What an account holds, read from `SHOW GRANTS`, and how it is taken away and given back exactly.
//!
//! A line of `SHOW GRANTS` is read once into what it means, and only that is compared: servers
//! differ in how they quote names, and MariaDB lists the columns of one grant in another order each
//! time.
//! <https://dev.mysql.com/doc/refman/9.7/en/show-grants.html>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use super::names::Names;
use super::names::unescape;
pub use super::object::Object;
use super::parse::{account, object, privileges};
pub use super::tokens::find;
use super::tokens::{first_word, tokens};
use crate::server::sql::{self, Account, identifier};

/// What one account row holds on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(super) object: Object,
    /// The privileges on the object as a whole (`None`), and those on each of its columns.
    pub(super) privileges: BTreeMap<Option<String>, BTreeSet<String>>,
    account: Option<Account>,
    may_pass_on: bool,
}

pub(super) const ALL: &str = "ALL PRIVILEGES";
/// No privilege at all.
const USAGE: &str = "USAGE";

/// What `ALL PRIVILEGES` on a database is on every server.
/// <https://dev.mysql.com/doc/refman/9.7/en/grant.html#grant-database-privileges>
const ON_DATABASES: [&str; 18] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "CREATE VIEW",
    "SHOW VIEW",
    "TRIGGER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
];

/// And on a table.
const ON_TABLES: &[&str] = ON_DATABASES.split_at(12).0;

/// Whether it opens the data of a database, as the servers' manuals name them. Others, such as
/// `PROCESS`, do not.
pub(super) fn is_data_privilege(name: &str) -> bool {
    // MariaDB's, by its older name too.
    const MORE: [&str; 3] = [ALL, "DELETE HISTORY", "DELETE VERSIONING ROWS"];
    ON_DATABASES.contains(&name) || MORE.contains(&name)
}

/// The global privileges that write rows by `BINLOG`, whatever else is held; `SUPER` on MySQL and
/// MariaDB 10.11, not on 11.8.
/// <https://mariadb.com/kb/en/binlog/>
const REPLAY: [&str; 4] = [
    "BINLOG REPLAY",
    "BINLOG_ADMIN",
    "REPLICATION_APPLIER",
    "SUPER",
];

impl Grant {
    /// Reads one line of `SHOW GRANTS`, however its server quotes names; `None` for a line that
    /// grants nothing (`SET DEFAULT ROLE`, a partial revoke) and for one that cannot be read.
    pub fn parse(line: &str) -> Option<Self> {
        Self::read(line, "GRANT", "TO")
    }

    /// Reads one line of `SHOW GRANTS` that says what is taken from the global grants on a database
    /// (a partial revoke), as if it were a grant.
    pub(super) fn parse_restriction(line: &str) -> Option<Self> {
        Self::read(line, "REVOKE", "FROM")
    }

    fn read(line: &str, verb: &str, to: &str) -> Option<Self> {
        // Before the line is taken apart: each is tried with both verbs.
        if !first_word(line.trim_start()).eq_ignore_ascii_case(verb) {
            return None;
        }
        let (starts, tokens) = tokens(line)?;
        let rest = &tokens[1..];
        let to = rest.iter().position(|token| token.is(to))?;
        let (granted, to) = (&rest[..to], (starts[1], starts[1 + to], &rest[to + 1..]));
        let (words, to) = (line[to.0..to.1].trim(), to.2);
        let other = || (Object::Other(words.to_owned()), BTreeMap::new());
        let (object, privileges) = match granted.iter().position(|token| token.is("ON")) {
            Some(1) if granted[0].is("PROXY") => other(),
            None => other(),
            Some(on) => (object(&granted[on + 1..])?, privileges(&granted[..on])?),
        };
        let (account, options) = account(to)?;
        let with = options.iter().position(|token| token.is("WITH"));
        let mut options = options[with.unwrap_or(options.len())..].windows(2);
        Some(Self {
            object,
            privileges,
            account,
            // On MariaDB, and on MySQL before 8.0, limits may stand behind it.
            may_pass_on: options.any(|pair| pair[0].is("GRANT") && pair[1].is("OPTION")),
        })
    }

    /// Reads a statement that gives a part of a grant, if it is exactly what [`Self::give`] writes:
    /// for one account, and safe to run whoever wrote it.
    pub fn given_by(statement: &str) -> Option<Self> {
        let inner = sql::inside_oracle(statement);
        let grant = Self::parse(inner.as_deref().unwrap_or(statement))?;
        (grant.privileges.len() == 1 && grant.give().as_deref() == Some(statement)).then_some(grant)
    }

    /// The same, held by this account row, however the server spells that.
    pub fn held_by(self, account: &Account) -> Self {
        let account = Some(account.clone());
        Self { account, ..self }
    }

    /// What it is on.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Whether it is on databases as a whole.
    pub fn is_on_a_database(&self) -> bool {
        matches!(self.object, Object::Database(_))
    }

    /// The account row that holds it.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Whether this is a grant on the database of this name, on one of its tables or on one of its
    /// routines.
    pub fn is_on(&self, database: &str, names: Names) -> bool {
        match &self.object {
            // Both spellings stand for this database: the escaped one, and the one that most people
            // type.
            Object::Database(name) => {
                name == database || names == Names::Patterns && unescape(name) == database
            }
            Object::Table { database: name, .. } | Object::Routine { database: name, .. } => {
                name == database
            }
            Object::Everywhere | Object::Other(_) => false,
        }
    }

    /// Whether it opens the data of the database of this name and is not [on](Self::is_on) it: a
    /// way in that stays.
    pub fn is_another_way_into(&self, database: &str, names: Names) -> bool {
        match &self.object {
            Object::Everywhere => {
                let mut held = self.privileges.values().flatten();
                self.opens_data() || held.any(|one| REPLAY.contains(&one.as_str()))
            }
            Object::Database(name) => {
                !self.is_on(database, names) && self.opens_data() && names.include(name, database)
            }
            Object::Table { .. } | Object::Routine { .. } => false,
            // What a role or another account holds may change at any time: never rely on it.
            Object::Other(_) => true,
        }
    }

    /// Whether it opens the data of the database of this name in whatever way.
    pub fn reaches(&self, database: &str, names: Names) -> bool {
        self.is_on(database, names) || self.is_another_way_into(database, names)
    }

    /// Whether it is a global grant of this privilege, or of all.
    pub fn grants_globally(&self, privilege: &str) -> bool {
        self.object == Object::Everywhere && self.gives_some(privilege)
    }

    /// Whether it gives this privilege on the database of this name.
    pub fn grants(&self, privilege: &str, database: &str, names: Names) -> bool {
        let covers = match &self.object {
            Object::Everywhere => true,
            Object::Database(name) => names.include(name, database),
            _ => false,
        };
        covers && self.gives_some(privilege)
    }

    /// Whether it gives this privilege on what it is on, as a whole.
    pub fn gives_some(&self, privilege: &str) -> bool {
        self.holds(None, privilege)
    }

    /// Whether the privilege is held on the column, or on the object as a whole.
    fn holds(&self, column: Option<&String>, privilege: &str) -> bool {
        let on = self.privileges.get(&column.cloned());
        on.is_some_and(|held| held.contains(privilege) || held.contains(ALL))
    }

    /// What somebody who holds these grants would need to revoke and give this one; nothing where
    /// they are enough. The servers take together what is held on the object, on its database and
    /// everywhere.
    pub fn needs_to_pass_on(&self, held: &[Self], names: Names) -> Option<String> {
        let covers = |one: &&Self| match (&one.object, self.database()) {
            (Object::Everywhere, _) => true,
            (Object::Database(name), Some(database)) => {
                names.include(name, &database) || one.object == self.object
            }
            (object, _) => *object == self.object,
        };
        let held: Vec<&Self> = held.iter().filter(covers).collect();
        let may_pass_on = held.iter().any(|one| one.may_pass_on);
        let mut lacks = Vec::new();
        for (column, privileges) in &self.privileges {
            for privilege in privileges.iter().flat_map(|one| self.every(one)) {
                let holds = |one: &&Self| {
                    one.gives_some(privilege) || one.holds(column.as_ref(), privilege)
                };
                if privilege != USAGE && !held.iter().any(holds) {
                    lacks.push(privilege);
                }
            }
        }
        let lacks = match lacks.len() {
            0 if may_pass_on => return None,
            0 => "its privileges".to_owned(),
            1..=5 => lacks.join(", "),
            count => format!("{} and {} more", lacks[..3].join(", "), count - 3),
        };
        Some(format!("{lacks} WITH GRANT OPTION"))
    }

    /// The database that it is on, or on a part of.
    fn database(&self) -> Option<String> {
        match &self.object {
            Object::Database(name) => Some(unescape(name)),
            Object::Table { database, .. } | Object::Routine { database, .. } => {
                Some(database.clone())
            }
            Object::Everywhere | Object::Other(_) => None,
        }
    }

    /// What this privilege of it comes to: `ALL PRIVILEGES` is many, of which the newest are left
    /// out, since not every server has them.
    fn every<'a>(&self, privilege: &'a str) -> Vec<&'a str> {
        match &self.object {
            _ if privilege != ALL => vec![privilege],
            Object::Everywhere | Object::Other(_) => vec![privilege],
            Object::Database(_) => ON_DATABASES.to_vec(),
            Object::Table { .. } => ON_TABLES.to_vec(),
            Object::Routine { .. } => vec!["EXECUTE", "ALTER ROUTINE"],
        }
    }

    /// Whether it can be given for a table that is not there.
    pub fn makes_its_table(&self) -> bool {
        ["CREATE", ALL].iter().any(|one| self.gives_some(one))
    }

    fn opens_data(&self) -> bool {
        let mut held = self.privileges.values().flatten();
        held.any(|one| is_data_privilege(one))
    }

    /// Whether these grants together give all that this one gives, to the same account row on the
    /// same object.
    pub fn is_within(&self, held: &[Self]) -> bool {
        let same = |one: &&Self| one.object == self.object && one.account == self.account;
        let same: Vec<&Self> = held.iter().filter(same).collect();
        let mut wanted = self
            .privileges
            .iter()
            .flat_map(|(column, all)| all.iter().map(move |one| (column.as_ref(), one)));
        (!self.may_pass_on || same.iter().any(|one| one.may_pass_on))
            && wanted.all(|(column, privilege)| {
                privilege == USAGE || same.iter().any(|one| one.holds(column, privilege))
            })
    }

    /// Its parts that can be given one by one: what it gives on the object as a whole, and on each
    /// of its columns. A column that is gone must not keep the others.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        self.privileges.iter().map(|(column, privileges)| Self {
            privileges: BTreeMap::from([(column.clone(), privileges.clone())]),
            ..self.clone()
        })
    }

    /// The columns that it gives something on.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        self.privileges.keys().flatten()
    }

    /// A column that both give something to this account on, by names that differ in their letter
    /// case only.
    pub fn same_column<'a>(&'a self, other: &Self) -> Option<&'a String> {
        let is_same = |one: &&String| {
            let mut others = other.columns();
            others.any(|other| other != *one && other.to_lowercase() == one.to_lowercase())
        };
        let is_here = self.object == other.object && self.account == other.account;
        self.columns().filter(|_| is_here).find(is_same)
    }

    /// The statement that gives it; none where it is not on a database or not an account's.
    pub fn give(&self) -> Option<String> {
        let option = if self.may_pass_on {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let account = self.account.as_ref()?;
        self.statement(&format!("GRANT {self} TO {account}{option}"))
    }

    /// The statements that take exactly this grant away.
    pub fn take(&self) -> Vec<String> {
        let Some(account) = &self.account else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        if self.privileges.values().flatten().any(|one| one != USAGE) {
            taken.push(self.privileges_in_words());
        }
        if self.may_pass_on {
            // "ALL PRIVILEGES" leaves the grant option:
            // https://dev.mysql.com/doc/refman/9.7/en/revoke.html
            taken.push("GRANT OPTION".to_owned());
        }
        let revoke = |what| format!("REVOKE {what} ON {} FROM {account}", self.object);
        let statements = taken.into_iter().map(revoke);
        statements.filter_map(|one| self.statement(&one)).collect()
    }

    /// The statement as it must be sent, which is about this grant's object.
    fn statement(&self, statement: &str) -> Option<String> {
        match &self.object {
            Object::Other(_) => None,
            Object::Routine { kind, .. } if kind.starts_with("PACKAGE") => {
                Some(sql::in_oracle(statement))
            }
            _ => Some(statement.to_owned()),
        }
    }

    fn privileges_in_words(&self) -> String {
        let mut words = Vec::new();
        for (column, privileges) in &self.privileges {
            let column = column.as_deref().map(identifier);
            let column = column.map_or_else(String::new, |name| format!(" ({name})"));
            words.extend(privileges.iter().map(|one| format!("{one}{column}")));
        }
        words.join(", ")
    }
}

impl Grant {
    /// These privileges on this database for this account row, of its global ones: to revoke them
    /// is to take them from those there, and to grant them is to give them back.
    pub fn part_of_global(privileges: BTreeSet<String>, database: &str, account: &Account) -> Self {
        Self {
            object: Object::Database(database.to_owned()),
            privileges: BTreeMap::from([(None, privileges)]),
            account: Some(account.clone()),
            may_pass_on: false,
        }
    }
}

impl fmt::Display for Grant {
    /// What is granted, and not the whole line: MariaDB's may end in the password's hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Object::Other(words) => f.write_str(words),
            object => write!(f, "{} ON {object}", self.privileges_in_words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::names::matches;
    use super::*;
    use Names::{Literal, Patterns};

    fn grant(line: &str) -> Grant {
        Grant::parse(line).unwrap_or_else(|| panic!("{line}"))
    }

    fn given(line: &str) -> Vec<String> {
        grant(line).parts().filter_map(|part| part.give()).collect()
    }

    #[test]
    fn a_database_is_known_in_both_spellings_where_names_are_patterns() {
        let all = grant("GRANT ALL PRIVILEGES ON `node1_db`.* TO `user`@`%`");
        let escaped = grant("GRANT SELECT ON `node1\\_db`.* TO `user`@`%`");
        assert!(all.is_on("node1_db", Patterns) && escaped.is_on("node1_db", Patterns));
        assert!(!grant("GRANT SELECT ON `node2\\_db`.* TO `u`@`%`").is_on("node1_db", Patterns));
        assert!(all.is_on("node1_db", Literal) && !escaped.is_on("node1_db", Literal));
        assert!(escaped.is_on("node1\\_db", Literal));
        let wide = grant("GRANT SELECT ON `node%`.* TO `user`@`%`");
        assert!(wide.grants("SELECT", "node1_db", Patterns));
        assert!(!wide.reaches("node1_db", Literal) && wide.reaches("node%", Literal));
        for database in ["node1_db", "a%\\b"] {
            for names in [Patterns, Literal] {
                assert!(names.include(&names.of(database), database));
            }
        }
    }

    #[test]
    fn tables_and_routines_belong_to_their_database() {
        for on in [
            "GRANT SELECT (`a`), INSERT ON `node1_db`.`t` TO `u`@`%`",
            "GRANT EXECUTE ON PROCEDURE `node1_db`.`p` TO `u`@`%`",
            "GRANT EXECUTE ON PACKAGE BODY `node1_db`.`p` TO `u`@`%`",
        ] {
            assert!(grant(on).is_on("node1_db", Patterns), "{on}");
        }
        let other = grant("GRANT EXECUTE ON PROCEDURE `other`.`node1_db` TO `u`@`%`");
        assert!(!other.is_on("node1_db", Patterns));
    }

    #[test]
    fn what_is_granted_is_what_is_revoked_and_given_back_column_by_column() {
        let line =
            "GRANT SELECT, SELECT (`b`, `a`), INSERT (`a`) ON `d`.`t` TO `u`@`%` WITH GRANT OPTION";
        assert_eq!(
            grant(line).take(),
            [
                "REVOKE SELECT, INSERT (`a`), SELECT (`a`), SELECT (`b`) ON `d`.`t` FROM `u`@`%`",
                "REVOKE GRANT OPTION ON `d`.`t` FROM `u`@`%`"
            ]
        );
        assert_eq!(
            given(line),
            [
                "GRANT SELECT ON `d`.`t` TO `u`@`%` WITH GRANT OPTION",
                "GRANT INSERT (`a`), SELECT (`a`) ON `d`.`t` TO `u`@`%` WITH GRANT OPTION",
                "GRANT SELECT (`b`) ON `d`.`t` TO `u`@`%` WITH GRANT OPTION",
            ]
        );
        let nothing = "GRANT USAGE ON `d`.* TO `u`@`%` WITH GRANT OPTION";
        assert_eq!(
            grant(nothing).take(),
            ["REVOKE GRANT OPTION ON `d`.* FROM `u`@`%`"]
        );
        assert_eq!(given(nothing), [nothing]);
    }

    #[test]
    fn only_what_is_missing_is_missing() {
        let held = [
            grant("GRANT SELECT (`name`, `id`), UPDATE (id) ON `d`.`t` TO `u`@`%`"),
            grant("GRANT SELECT(x) ON `d`.`t` TO 'u'@'%' WITH GRANT OPTION"),
            grant("GRANT ALL PRIVILEGES ON `d`.* TO `u`@`%`"),
        ];
        for within in [
            "GRANT SELECT (`id`, `name`) ON `d`.`t` TO `u`@`%`",
            "GRANT SELECT (`x`, `id`) ON `d`.`t` TO \"u\"@\"%\" WITH GRANT OPTION",
            "GRANT INSERT, SELECT ON `d`.* TO `u`@`%`",
            "GRANT USAGE ON `d`.`t` TO `u`@`%`",
        ] {
            assert!(grant(within).is_within(&held), "{within}");
        }
        for more in [
            "GRANT SELECT ON `d`.`t` TO `u`@`%`",
            "GRANT SELECT (`y`) ON `d`.`t` TO `u`@`%`",
            "GRANT INSERT (`id`) ON `d`.`t` TO `u`@`%`",
            "GRANT SELECT ON `d`.* TO `u`@`%` WITH GRANT OPTION",
            "GRANT SELECT (`id`) ON `d`.`t` TO `u`@`localhost`",
            "GRANT SELECT (`id`) ON `D`.`t` TO `u`@`%`",
            "GRANT EXECUTE ON FUNCTION `d`.`t` TO `u`@`%`",
        ] {
            assert!(!grant(more).is_within(&held), "{more}");
        }
    }

    #[test]
    fn a_line_is_read_however_its_server_writes_it() {
        let canonical = grant("GRANT SELECT (`a`), INSERT ON `d`.`t` TO `u`@`%` WITH GRANT OPTION");
        for line in [
            "GRANT SELECT (a), INSERT ON `d`.`t` TO 'u'@'%' WITH GRANT OPTION", // MySQL 5.7
            "GRANT SELECT(a), INSERT ON d.t TO 'u'@'%' WITH GRANT OPTION",      // TiDB
            "GRANT SELECT (\"a\"), INSERT ON \"d\".\"t\" TO \"u\"@\"%\" WITH GRANT OPTION", // ANSI_QUOTES
            "GRANT INSERT, SELECT (a) ON d.t TO u@`%` WITH GRANT OPTION", // sql_quote_show_create = 0
            "grant select (a) , insert on table d . t to u @'%' with grant option MAX_USER_CONNECTIONS 5",
        ] {
            assert_eq!(grant(line), canonical, "{line}");
        }
        let odd = grant("GRANT SELECT ON \"a`\"\"\".* TO 'it''s \\\\ \\'q\\''@''");
        assert_eq!(
            odd.give().as_deref(),
            Some("GRANT SELECT ON `a``\"`.* TO `it's \\ 'q'`@``")
        );
    }

    #[test]
    fn limits_and_secrets_stand_behind_the_grant_option() {
        for (line, may_pass_on) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A' REQUIRE SSL WITH GRANT OPTION \
                 MAX_QUERIES_PER_HOUR 9 MAX_USER_CONNECTIONS 50",
                true,
            ),
            (
                "GRANT SELECT ON *.* TO 'u'@'%' IDENTIFIED BY PASSWORD <secret> WITH MAX_USER_CONNECTIONS 5",
                false,
            ),
            (
                "GRANT SELECT ON *.* TO `u`@`%` REQUIRE SUBJECT ' WITH GRANT OPTION'",
                false,
            ),
            ("GRANT SELECT ON *.* TO `u`@` WITH GRANT OPTION`", false),
            ("GRANT SELECT ON *.* TO PUBLIC WITH GRANT OPTION", true),
        ] {
            let read = grant(line);
            assert_eq!(read.may_pass_on, may_pass_on, "{line}");
            assert!(!read.to_string().contains('A') || read.grants_globally("CREATE"));
        }
    }

    #[test]
    fn a_package_is_granted_in_the_mode_that_knows_of_packages() {
        let line = "GRANT EXECUTE ON PACKAGE BODY `it's`.`b` TO `u`@`%`";
        let statement = "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE \
                         'GRANT EXECUTE ON PACKAGE BODY `it''s`.`b` TO `u`@`%`'";
        assert_eq!(given(line), [statement]);
        assert_eq!(Grant::given_by(statement), Some(grant(line)));
        for odd in ["a\\b", "a\nb", "é\u{9f}"] {
            let line = format!("GRANT EXECUTE ON PACKAGE `{odd}`.`p` TO `{odd}`@`%`");
            let given = given(&line);
            assert!(given[0].is_ascii() && !given[0].contains(['\\', '\n']));
            assert_eq!(Grant::given_by(&given[0]), Some(grant(&line)));
        }
        assert_eq!(
            Grant::given_by(line),
            None,
            "the server would not understand it"
        );
        let other = "GRANT SELECT ON `d`.`t` TO `u`@`%`";
        assert_eq!(Grant::given_by(&sql::in_oracle(other)), None);
    }

    #[test]
    fn what_is_not_one_part_of_one_accounts_grant_is_not_run() {
        for good in [
            "GRANT SELECT ON `d`.* TO `u`@`%`",
            "GRANT INSERT (`a`), SELECT (`a`) ON `d`.`t` TO `u`@`%` WITH GRANT OPTION",
        ] {
            assert!(Grant::given_by(good).is_some(), "{good}");
        }
        for bad in [
            "GRANT SELECT ON `d`.* TO `u`@`%`, `v`@`%`",
            "GRANT SELECT ON `d`.* TO `u`",
            "GRANT SELECT ON `d`.* TO `u`@`%` IDENTIFIED BY 'x'",
            "GRANT SELECT ON `d`.* TO `u`@`%` REQUIRE NONE",
            "GRANT SELECT ON `d`.* TO `u`@`%` # WITH GRANT OPTION",
            "GRANT SELECT ON `d`.* TO `u`@`%` WITH GRANT OPTION MAX_USER_CONNECTIONS 5",
            "GRANT SELECT  ON `d`.* TO `u`@`%`",
            "GRANT SELECT ON `d`.* TO `u`@`%` ",
            "GRANT SELECT ON d.* TO `u`@`%`",
            "GRANT SELECT ON `d`.* TO 'u'@'%'",
            "GRANT SELECT ON TABLE `d`.`t` TO `u`@`%`",
            "GRANT SELECT /*! , INSERT */ ON `d`.* TO `u`@`%`",
            "GRANT SELECT; DROP TABLE t; GRANT SELECT ON `d`.* TO `u`@`%`",
            "GRANT SELECT (`a`), SELECT (`b`) ON `d`.`t` TO `u`@`%`",
            "GRANT SELECT, INSERT ON `d`.* TO `u`@`%`",
            "GRANT `admin`@`%` TO `u`@`%`",
            "GRANT admin TO `u`@`%`",
            "GRANT PROXY ON `r`@`%` TO `u`@`%`",
            "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE 'DROP DATABASE d'",
            "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE \
             'GRANT EXECUTE ON PACKAGE `d`.`p` TO `u`@`%`'; DROP DATABASE d; DO 'x'",
        ] {
            assert_eq!(Grant::given_by(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_that_look_like_syntax_are_read_as_names() {
        let odd = grant("GRANT SELECT ON `a TO b`` ON ``c.*`.* TO `it's TO`@`%` WITH GRANT OPTION");
        assert!(odd.is_on("a TO b` ON `c.*", Patterns));
        assert_eq!(
            odd.take()[0],
            "REVOKE SELECT ON `a TO b`` ON ``c.*`.* FROM `it's TO`@`%`"
        );
    }

    #[test]
    fn other_ways_in_are_named() {
        for (way_in, told) in [
            (
                "GRANT PROCESS, SELECT ON *.* TO `u`@`%`",
                "PROCESS, SELECT ON *.*",
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*A'",
                "ALL PRIVILEGES ON *.*",
            ),
            ("GRANT `admin`@`%` TO `u`@`%`", "`admin`@`%`"),
            ("GRANT admin TO `u`@`%` WITH ADMIN OPTION", "admin"),
            (
                "GRANT SELECT ON `node%`.* TO `u`@`%`",
                "SELECT ON `node%`.*",
            ),
            (
                "GRANT SELECT ON `node__db`.* TO `u`@`%`",
                "SELECT ON `node__db`.*",
            ),
            (
                "GRANT PROXY ON `root`@`%` TO `u`@`%` WITH GRANT OPTION",
                "PROXY ON `root`@`%`",
            ),
        ] {
            let way_in = grant(way_in);
            assert!(way_in.is_another_way_into("node1_db", Patterns), "{told}");
            assert_eq!(way_in.to_string(), told);
        }
        for harmless in [
            "GRANT USAGE ON *.* TO `u`@`%`",
            "GRANT PROCESS ON *.* TO `u`@`%`",
            "GRANT SELECT ON `node2%`.* TO `u`@`%`",
            "GRANT SELECT ON `node1\\_db`.* TO `u`@`%`",
            "GRANT SELECT ON `node2_db`.`node1_db` TO `u`@`%`",
        ] {
            let way_in = grant(harmless).is_another_way_into("node1_db", Patterns);
            assert!(!way_in, "{harmless}");
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

    /// A line of `SHOW GRANTS` in one of the servers' ways to quote, its columns in any order; and
    /// what it means.
    fn lines() -> impl Strategy<Value = (String, Grant)> {
        let name = || {
            // Most are ordinary; all are compared exactly.
            prop_oneof!["[a-z]{1,3}", "[ -~]{0,8}", any::<String>()]
        };
        let privilege = || prop::sample::select(vec!["SELECT", "INSERT", "UPDATE", "REFERENCES"]);
        let columns = prop::collection::vec((privilege(), prop::option::of(name())), 1..8);
        let object = (0..4usize, name(), name());
        (columns, object, name(), name(), any::<bool>(), 0..3usize).prop_map(
            |(columns, (kind, database, table), user, host, may_pass_on, style)| {
                let quote = |name: &str, mark: char| {
                    let doubled = format!("{mark}{mark}");
                    let name = match mark {
                        '\'' => name.replace('\\', "\\\\"),
                        _ => name.to_owned(),
                    };
                    format!("{mark}{}{mark}", name.replace(mark, &doubled))
                };
                let (names, accounts) = [('`', '`'), ('`', '\''), ('"', '"')][style];
                let (whole, object) = match kind {
                    0 => (
                        format!("{}.*", quote(&database, names)),
                        Object::Database(database),
                    ),
                    1 => (
                        format!("{}.{}", quote(&database, names), quote(&table, names)),
                        Object::Table {
                            database,
                            name: table,
                        },
                    ),
                    kind => {
                        let kind = ["FUNCTION", "PACKAGE BODY"][kind - 2].to_owned();
                        let names = (quote(&database, names), quote(&table, names));
                        let whole = format!("{kind} {}.{}", names.0, names.1);
                        let name = table;
                        (
                            whole,
                            Object::Routine {
                                kind,
                                database,
                                name,
                            },
                        )
                    }
                };
                let mut privileges: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
                let mut words = Vec::new();
                for (privilege, column) in columns {
                    words.push(match &column {
                        Some(column) => format!("{privilege} ({})", quote(column, names)),
                        None => privilege.to_owned(),
                    });
                    privileges
                        .entry(column)
                        .or_default()
                        .insert(privilege.to_owned());
                }
                let option = if may_pass_on {
                    " WITH GRANT OPTION"
                } else {
                    ""
                };
                let line = format!(
                    "GRANT {} ON {whole} TO {}@{}{option}",
                    words.join(", "),
                    quote(&user, accounts),
                    quote(&host, accounts)
                );
                let account = Some(Account { user, host });
                let grant = Grant {
                    object,
                    privileges,
                    account,
                    may_pass_on,
                };
                (line, grant)
            },
        )
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in any::<String>(), name in any::<String>()) {
            for line in [line.clone(), format!("GRANT {line}"), format!("GRANT SELECT ON {line} TO {name}")] {
                if let Some(grant) = Grant::parse(&line) {
                    let _ = (grant.is_on(&name, Patterns), grant.reaches(&name, Literal), grant.take(), grant.to_string());
                }
                let _ = Grant::given_by(&line);
            }
        }

        #[test]
        fn a_line_means_the_same_however_it_is_written((line, grant) in lines()) {
            prop_assert_eq!(Grant::parse(&line), Some(grant.clone()), "{}", line);
            // What gives it part by part reads back, and is all of it.
            let mut parts = Vec::new();
            for part in grant.parts() {
                prop_assert!(part.is_within(std::slice::from_ref(&grant)));
                let statement = part.give().unwrap();
                prop_assert_eq!(Grant::given_by(&statement), Some(part.clone()), "{}", statement);
                parts.push(part);
            }
            prop_assert!(grant.is_within(&parts));
            // With any part left out it is not.
            for left_out in 0..parts.len() {
                let mut rest = parts.clone();
                rest.remove(left_out);
                prop_assert!(!grant.is_within(&rest));
            }
        }

        #[test]
        fn what_is_run_is_written_again_as_it_was(at in any::<prop::sample::Index>(), to in any::<char>(), (line, _) in lines()) {
            let mut altered: Vec<char> = line.chars().collect();
            let at = at.index(altered.len());
            altered[at] = to;
            let altered: String = altered.into_iter().collect();
            if let Some(grant) = Grant::given_by(&altered) {
                prop_assert_eq!(grant.give(), Some(altered));
            }
        }
    }
}
