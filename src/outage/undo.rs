//! The undo: how a node is brought back, left on the node itself before anything on it changes, so
//! that it can be brought back from anywhere, and by the server itself when its time has come. Pure
//! text.
//!
//! It is an event in the node's database:
//! <https://dev.mysql.com/doc/refman/9.7/en/create-event.html>. It repeats until it has brought the
//! node back and dropped itself, so that neither a server that is down at the deadline nor one that
//! is read-only just then loses it.

use std::fmt;

use crate::server::grants::{Grant, Names, find};
use crate::server::sql::{self, Account, Server};

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
    /// The id of the session that guards it, 0 where there is none.
    pub guard: u64,
    /// Which server it was left on, by its own word.
    pub server: String,
    /// The statements that bring the node back, in order; each can be run again.
    pub statements: Vec<String>,
}

impl fmt::Display for Undo {
    /// Who, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

/// What the server itself takes for gone, since it cannot look: no such account (1396, 1133 and
/// 1410), column (1054), table (1146) or routine (1305), and a view that does not work (1356,
/// 1449). What else may be wrong it tries again.
const GONE: [u16; 8] = [1054, 1133, 1146, 1305, 1356, 1396, 1410, 1449];

/// What begins the line that says who left it, up to the number of this format.
const BY: &str = "DO 'fail-start ";

/// The statement, which does nothing, that says that `super_read_only` was lifted to take the node
/// offline, and will be to bring it back.
pub const LIFTED: &str = "DO 'fail-start lifted super_read_only'";

/// The format of the undo. One of another number is told by the version that wrote it, and left to
/// that.
const FORMAT: &str = "2";

/// No statement keeps those behind it. Where one failed though nothing is gone, the event stays,
/// and is run again.
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
    pub fn mine(session: u64, guard: u64, server: &str, statements: Vec<String>) -> Self {
        Self {
            guard,
            server: plain(server),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: plain(&gethostname::gethostname().to_string_lossy()),
            process: std::process::id(),
            session,
            statements,
        }
    }

    /// The event's body, for a node with this database.
    pub fn body(&self, database: &str) -> String {
        let mut body = format!("{}{};\n", begin(), self.by());
        for statement in &self.statements {
            body += statement;
            body += ";\n";
        }
        body + &end(database)
    }

    /// Who left it, as a statement that does nothing: no two of them are the same.
    pub fn by(&self) -> String {
        format!(
            "{BY}{FORMAT}', '{}', '{}', {}, {}, {}, '{}'",
            self.version, self.host, self.process, self.session, self.guard, self.server
        )
    }

    /// Ends a packet by an error where it is not there any more, as this admin has left it.
    pub fn only_if_there(&self, database: &str, admin: &str) -> String {
        let characters = self.body(database).chars().count();
        sql::stop_unless(&sql::undo_is(database, &self.by(), characters, admin))
    }

    /// The version of fail-start that wrote this body, if it is of another format than
    /// [`Self::parse`] reads.
    pub fn other_version(body: &str) -> Option<String> {
        let (_, by) = body.split_once(BY)?;
        let by = by.lines().next()?;
        let mut parts = by.split(", ").map(|part| part.trim_matches('\''));
        let first = parts.next()?;
        let version = match (first, parts.next()?) {
            (FORMAT, _) => return None,
            // Before there were numbers, the version stood here.
            (version, _) if version.contains('.') => version,
            (_, version) => version,
        };
        Some(plain(version))
    }

    /// Whether the same session has left both: one lock took both offline.
    pub fn is_with(&self, other: &Self) -> bool {
        let by = |one: &Self| {
            let (host, server) = (one.host.clone(), one.server.clone());
            (host, one.process, one.session, server)
        };
        by(self) == by(other)
    }

    /// Reads the body of an event in this database; `None` for anything that [`Self::body`] does
    /// not write.
    pub fn parse(body: &str, database: &str, names: Names) -> Option<Self> {
        let rest = body.strip_prefix(&begin())?.strip_prefix(BY)?;
        let (by, rest) = rest.split_once(";\n")?;
        let mut by = by.splitn(7, ", ");
        by.next().filter(|format| *format == format!("{FORMAT}'"))?;
        let text = |part: &str| Some(plain(part.strip_prefix('\'')?.strip_suffix('\'')?));
        let (version, host) = (text(by.next()?)?, text(by.next()?)?);
        let (process, session) = (by.next()?.parse().ok()?, by.next()?.parse().ok()?);
        let (guard, server) = (by.next()?.parse().ok()?, text(by.next()?)?);
        let mut rest = rest.strip_suffix(&end(database))?;
        let mut statements = Vec::new();
        while !rest.is_empty() {
            let end = find(rest, ";\n")?;
            statements.push(rest[..end].to_owned());
            rest = &rest[end + 2..];
        }
        let undo = Self {
            version,
            host,
            process,
            session,
            guard,
            server,
            statements,
        };
        let is_ours = |statement: &String| brings_back(statement, database, names);
        let is_undo = undo.brings_back().next().is_some() && undo.brings_back().all(is_ours);
        // What differs in any other way, such as a number with a sign, was not written here.
        (is_undo && undo.body(database) == body).then_some(undo)
    }

    /// Whether the server gives this undo back as it was written, for a node with this database.
    pub fn survives(&self, database: &str, names: Names, server: Server) -> bool {
        let body = self.body(database);
        // MySQL doubles what stands before a doubled backtick when it shows an event, or cannot
        // store it (error 3507).
        let garbled = server == Server::MySql && has_doubled_backtick(&body);
        !garbled && Self::parse(&body, database, names).as_ref() == Some(self)
    }

    /// The statements that change the node, without those that keep the change there.
    pub fn brings_back(&self) -> impl Iterator<Item = &String> {
        self.statements
            .iter()
            .filter(|statement| !is_beside(statement))
    }

    /// Whether the node was read-only when it was taken.
    pub fn lifted(&self) -> bool {
        self.statements.iter().any(|statement| statement == LIFTED)
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

/// Whether it gives something of this database back, and does nothing else.
fn brings_back(statement: &str, database: &str, names: Names) -> bool {
    sql::unlocked(statement).is_some()
        || Grant::given_by(statement).is_some_and(|grant| grant.is_on(database, names))
}

/// Whether it stands beside those: it keeps the change on the node, or says how it was made.
fn is_beside(statement: &str) -> bool {
    [sql::NO_BINARY_LOG, sql::NO_GALERA, LIFTED].contains(&statement)
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
        let statements = statements.iter().map(ToString::to_string).collect();
        Undo::mine(12, 13, "a-server", statements)
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
            good.replace(", 12, 13,", ", +12, 13,"),
            good.replace("fail-start 2", "fail-start 3"),
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
    fn an_undo_of_today_is_read_by_every_later_version() {
        // Never change this text: nodes have it on them.
        let today = "BEGIN\nDECLARE failed INT DEFAULT 0;\nDECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET failed = 1;\n\
                     DECLARE CONTINUE HANDLER FOR 1054, 1133, 1146, 1305, 1356, 1396, 1410, 1449 BEGIN END;\n\
                     DO 'fail-start 2', '0.1.0', 'laptop', 4711, 12, 13, '0b5c-17';\nSET SESSION sql_log_bin = 0;\n\
                     ALTER USER `user`@`%` ACCOUNT UNLOCK;\nGRANT SELECT ON `node1_db`.* TO `user`@`%`;\n\
                     IF failed = 0 THEN\nDROP EVENT IF EXISTS `node1_db`.fail_start_undo;\nEND IF;\nEND";
        let undo = Undo::parse(today, "node1_db", Names::Patterns).unwrap();
        assert_eq!(
            (undo.session, undo.guard, undo.statements.len()),
            (12, 13, 3)
        );
        assert_eq!(undo.to_string(), "process 4711 on laptop");
        assert_eq!(Undo::other_version(today), None);
        assert!(!undo.lifted());
        let lifted = today.replace(
            "\nALTER",
            "\nDO 'fail-start lifted super_read_only';\nALTER",
        );
        let undo = Undo::parse(&lifted, "node1_db", Names::Patterns).unwrap();
        assert!(undo.lifted());
        assert_eq!(undo.brings_back().count(), 2);
    }

    #[test]
    fn another_version_is_known_by_its_name() {
        let by = |by: &str| Undo::other_version(&format!("BEGIN\nsomething;\n{by};\nmore;\nEND"));
        let future = by("DO 'fail-start 3', '1.4.0', 'h', 1, 'whatever'");
        assert_eq!(future.as_deref(), Some("1.4.0"));
        let past = by("DO 'fail-start 0.1.0', 'h', 1, 2");
        assert_eq!(past.as_deref(), Some("0.1.0"));
        assert_eq!(by("DO 'something else'"), None);
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
        let package = |name: &str, odd: &str| {
            body(&sql::in_oracle(&format!(
                "GRANT EXECUTE ON PACKAGE `{name}`.`p;{odd}` TO `it's; {odd}`@`%`"
            )))
        };
        let names = Names::Patterns;
        for odd in ["", "\n", "\\"] {
            assert!(Undo::parse(&package("a_b", odd), "a_b", names).is_some());
            assert_eq!(Undo::parse(&package("c", odd), "a_b", names), None);
        }
        let package = |name| package(name, "");
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
            let body = format!("{}{BY}2', '0.1.0', 'h', 1, 2, 0, 's';\n{text};\n{more}{}", begin(), end("d"));
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
