//! The undo: how a node is brought back, left on the node itself before anything on it changes, so that it can be
//! brought back from anywhere, and by the server itself when its time has come. Pure text.
//!
//! It is an event in the node's database: <https://dev.mysql.com/doc/refman/9.7/en/create-event.html>. It repeats until
//! it has brought the node back and dropped itself, so that neither a server that is down at the deadline nor one that
//! is read-only just then loses it.

use std::fmt;

use crate::grants::{Grant, Names, find};
use crate::sql::{self, Account, Server};

/// What brings a node back, and who left it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The version of fail-start.
    pub version: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its process id there.
    pub process: u32,
    /// The id of the admin's session that changes the node.
    pub session: u64,
    /// The statements that bring the node back, in order; each can be run again.
    pub statements: Vec<String>,
}

impl fmt::Display for Undo {
    /// Who, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fail-start {} on {} (process {})",
            self.version, self.host, self.process
        )
    }
}

/// What the server itself takes for gone, since it cannot look: no such account (1396, 1133 and 1410), column (1054), table
/// (1146) or routine (1305), and a view that does not work (1356, 1449). What else may be wrong it tries again.
const GONE: [u16; 8] = [1054, 1133, 1146, 1305, 1356, 1396, 1410, 1449];

const BY: &str = "DO 'fail-start ";

/// No statement keeps those behind it. Where one failed though nothing is gone, the event stays, and is run again.
fn begin() -> String {
    let gone = GONE.map(|code| code.to_string()).join(", ");
    format!(
        "BEGIN\nDECLARE failed INT DEFAULT 0;\nDECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET failed = 1;\n\
         DECLARE CONTINUE HANDLER FOR {gone} BEGIN END;\n"
    )
}

fn end(database: &str) -> String {
    let drop = sql::drop_undo(database);
    format!("IF failed = 0 THEN\n{drop};\nEND IF;\nEND")
}

impl Undo {
    /// The undo of this process.
    pub fn mine(session: u64, statements: Vec<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: plain(&rustix::system::uname().nodename().to_string_lossy()),
            process: std::process::id(),
            session,
            statements,
        }
    }

    /// The event's body, for a node with this database.
    pub fn body(&self, database: &str) -> String {
        let mut body = format!(
            "{}{BY}{}', '{}', {}, {};\n",
            begin(),
            self.version,
            self.host,
            self.process,
            self.session
        );
        for statement in &self.statements {
            body += statement;
            body += ";\n";
        }
        body + &end(database)
    }

    /// Reads the body of an event in this database; `None` for anything that [`Self::body`] does not write.
    pub fn parse(body: &str, database: &str, names: Names) -> Option<Self> {
        let rest = body.strip_prefix(&begin())?.strip_prefix(BY)?;
        let (by, rest) = rest.split_once(";\n")?;
        let mut by = by.splitn(4, ", ");
        let version = by.next()?.strip_suffix('\'')?;
        let host = by.next()?.strip_prefix('\'')?.strip_suffix('\'')?;
        let (process, session) = (by.next()?.parse().ok()?, by.next()?.parse().ok()?);
        let mut rest = rest.strip_suffix(&end(database))?;
        let mut statements = Vec::new();
        while !rest.is_empty() {
            let end = find(rest, ";\n")?;
            statements.push(rest[..end].to_owned());
            rest = &rest[end + 2..];
        }
        let undo = Self {
            version: plain(version),
            host: plain(host),
            process,
            session,
            statements,
        };
        let brings_back = undo.unlocked().next().is_some() || undo.granted().next().is_some();
        let only_that = undo
            .statements
            .iter()
            .all(|statement| brings_back_only(statement, database, names));
        // What differs in any other way, such as a number with a sign, was not written here.
        (brings_back && only_that && undo.body(database) == body).then_some(undo)
    }

    /// Whether the server gives this undo back as it was written, for a node with this database.
    pub fn survives(&self, database: &str, names: Names, server: Server) -> bool {
        let body = self.body(database);
        // MySQL doubles what stands before a doubled backtick when it shows an event, or cannot store it (error 3507).
        let garbled = server == Server::MySql && has_doubled_backtick(&body);
        !garbled && Self::parse(&body, database, names).as_ref() == Some(self)
    }

    /// The statements that change the node, without those that keep the change there.
    pub fn brings_back(&self) -> impl Iterator<Item = &String> {
        self.statements
            .iter()
            .filter(|statement| !stays_here(statement))
    }

    /// The account rows that it unlocks.
    pub fn unlocked(&self) -> impl Iterator<Item = Account> {
        self.statements
            .iter()
            .filter_map(|statement| sql::unlocked(statement))
    }

    /// The grants that it gives back.
    pub fn granted(&self) -> impl Iterator<Item = Grant> {
        self.statements
            .iter()
            .filter_map(|statement| Grant::given_by(statement))
    }
}

/// The account row that a statement of an undo is about.
pub fn account(statement: &str) -> Option<Account> {
    sql::unlocked(statement).or_else(|| Grant::given_by(statement)?.account().cloned())
}

/// Whether a name in backticks holds one; no name at all between two is an empty host.
fn has_doubled_backtick(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        if c == '`' && quoted && chars.peek() == Some(&'`') {
            return true;
        }
        quoted ^= c == '`';
    }
    false
}

fn brings_back_only(statement: &str, database: &str, names: Names) -> bool {
    stays_here(statement)
        || sql::unlocked(statement).is_some()
        || Grant::given_by(statement).is_some_and(|grant| grant.is_on(database, names))
}

fn stays_here(statement: &str) -> bool {
    [sql::NO_BINARY_LOG, sql::NO_GALERA].contains(&statement)
}

/// The text with everything replaced that could be more than a name inside a string literal.
fn plain(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    text.chars()
        .take(64)
        .map(|c| if harmless(c) { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn undo(statements: &[&str]) -> Undo {
        Undo::mine(12, statements.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_was_written_reads_back_the_same() {
        let database = "node;\n1'\"\\_ü";
        for statements in [
            &[
                "SET SESSION sql_log_bin = 0",
                "ALTER USER `u`@`%` ACCOUNT UNLOCK",
            ][..],
            &[
                "ALTER USER `a;\nb '\"\\ END`@`10.%` ACCOUNT UNLOCK",
                "ALTER USER `u`@`%` ACCOUNT UNLOCK",
            ],
            &[
                "SET SESSION sql_log_bin = 0",
                "SET SESSION wsrep_on = OFF",
                "GRANT INSERT (`a`), SELECT (`a`) ON `node;\n1'\"\\_ü`.`t;\n` TO `u`@`%` WITH GRANT OPTION",
            ],
        ] {
            let undo = undo(statements);
            assert_eq!(
                Undo::parse(&undo.body(database), database, Names::Patterns),
                Some(undo)
            );
        }
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let unlock = "ALTER USER `u`@`%` ACCOUNT UNLOCK";
        let good = undo(&[unlock]).body("d");
        assert!(Undo::parse(&good, "d", Names::Patterns).is_some());
        for bad in [
            String::new(),
            "BEGIN END".to_owned(),
            good.replacen("END;\n", "", 1),
            good.replace("'fail-start", "'another"),
            good.replace(", 12;", ", +12;"),
            good.replace("UNLOCK", "UNLOCK REQUIRE NONE"),
            good.replace("UNLOCK", "UNLOCK;\nDROP DATABASE d"),
            good.replace("`u`@`%`", "`u`@`%`, `v`@`%`"),
            good.replace("`u`@`%`", "`u`@`%` IDENTIFIED BY 'x'"),
            good.replace(unlock, "GRANT ALL PRIVILEGES ON *.* TO `u`@`%`"),
            good.replace(unlock, "GRANT SELECT ON `other`.* TO `u`@`%`"),
            good.replace(unlock, "GRANT `admin`@`%` TO `u`@`%`"),
            good.replace(unlock, "GRANT SELECT ON `d`.* TO `u`@`%`, `v`@`%`"),
            good.replace(unlock, "GRANT SELECT ON `d`.* TO `u`@`%` IDENTIFIED BY 'x'"),
            good.replace(
                unlock,
                "GRANT SELECT; DROP TABLE t; GRANT SELECT ON `d`.* TO `u`@`%`",
            ),
            good.replace(
                unlock,
                "GRANT SELECT ON `d`.* TO `u`@`%` # WITH GRANT OPTION",
            ),
            undo(&[]).body("d"),
            undo(&["SET SESSION sql_log_bin = 0"]).body("d"),
            good.clone() + " ",
        ] {
            assert_eq!(Undo::parse(&bad, "d", Names::Patterns), None, "{bad}");
        }
        assert_eq!(
            Undo::parse(&good, "e", Names::Patterns),
            None,
            "another database's"
        );
    }

    #[test]
    fn an_undo_that_grants_elsewhere_is_refused() {
        let body = |statement: &str| undo(&[statement]).body("a_b");
        let plain = body("GRANT SELECT ON `a_b`.* TO `u`@`%`");
        let escaped = body("GRANT SELECT ON `a\\_b`.* TO `u`@`%`");
        for names in [Names::Patterns, Names::Literal] {
            assert!(Undo::parse(&plain, "a_b", names).is_some());
        }
        // Where names are literal, this is another database.
        assert!(Undo::parse(&escaped, "a_b", Names::Patterns).is_some());
        assert_eq!(Undo::parse(&escaped, "a_b", Names::Literal), None);
        let package = |name: &str| {
            body(&sql::in_oracle(&format!(
                "GRANT EXECUTE ON PACKAGE `{name}`.`p;\n` TO `it's; \\`@`%`"
            )))
        };
        let names = Names::Patterns;
        assert!(Undo::parse(&package("a_b"), "a_b", names).is_some());
        assert_eq!(Undo::parse(&package("c"), "a_b", names), None);
        let more = package("a_b").replace("`%`'", "`%`'; DROP DATABASE d");
        assert_eq!(Undo::parse(&more, "a_b", names), None);
        let drops = package("a_b").replace("GRANT EXECUTE", "DROP DATABASE d -- ");
        assert_eq!(Undo::parse(&drops, "a_b", names), None);
    }

    #[test]
    fn only_a_backtick_within_a_name_does_not_survive_on_mysql() {
        let survives = |user: &str, host: &str, server| {
            let (user, host) = (user.to_owned(), host.to_owned());
            let undo = undo(&[&sql::unlock(&Account { user, host })]);
            undo.survives("d", Names::Patterns, server)
        };
        for (user, host, on_mysql) in [
            ("u", "%", true),
            ("u", "", true),
            ("", "", true),
            ("a`b", "%", false),
            ("`", "", false),
            ("a@`", "%", false),
        ] {
            assert_eq!(
                survives(user, host, Server::MySql),
                on_mysql,
                "{user} {host}"
            );
            assert!(survives(user, host, Server::MariaDb));
        }
    }

    proptest! {
        #[test]
        fn whatever_was_written_reads_back_the_same(
            users in prop::collection::vec((any::<String>(), any::<String>()), 1..4),
            database in any::<String>(),
            host in any::<String>(),
        ) {
            let rows = users.into_iter().map(|(user, host)| Account { user, host });
            let mut undo = undo(&[]);
            undo.host = plain(&host);
            for row in rows {
                undo.statements.push(sql::unlock(&row));
                undo.statements.push(sql::grant_all(&Names::Patterns.of(&database), &row));
            }
            let body = undo.body(&database);
            prop_assert_eq!(Undo::parse(&body, &database, Names::Patterns), Some(undo));
        }

        #[test]
        fn arbitrary_text_is_refused(text in any::<String>(), more in any::<String>()) {
            prop_assert_eq!(Undo::parse(&text, "d", Names::Patterns), None);
            let body = format!("{}{BY}0.1.0', 'h', 1, 2;\n{text};\n{more}{}", begin(), end("d"));
            prop_assert_eq!(Undo::parse(&body, "d", Names::Patterns), None);
        }

        #[test]
        fn what_was_altered_is_refused_or_still_only_brings_back(at in any::<prop::sample::Index>(), to in any::<char>()) {
            let mut body: Vec<char> = undo(&["ALTER USER `u`@`%` ACCOUNT UNLOCK"]).body("d").chars().collect();
            let at = at.index(body.len());
            body[at] = to;
            let body: String = body.into_iter().collect();
            if let Some(undo) = Undo::parse(&body, "d", Names::Patterns) {
                prop_assert_eq!(undo.body("d"), body);
                prop_assert!(undo.statements.iter().all(|one| sql::unlocked(one).is_some()));
            }
        }
    }
}
