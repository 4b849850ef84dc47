//! Nodes on the servers, with an account and databases of their own for each test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use mysql::Conn;
use mysql::prelude::Queryable;

use super::*;

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The spelling for any value that README.md has.
fn in_dotenv(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "${DOLLAR}");
    format!("\"{escaped}\"")
}

/// What stands behind a variable's name for this node.
pub fn suffix(number: usize) -> String {
    if number == 1 {
        String::new()
    } else {
        format!("_NODE{number}")
    }
}

/// Three nodes of one test, each on a server of its own, with an account and databases that no
/// other test has.
pub struct Nodes {
    pub kind: Kind,
    pub user: String,
    pub password: String,
    pub databases: [String; 3],
    /// The variables of `.env`.
    pub variables: BTreeMap<String, String>,
    pub folder: TempDir,
    ports: [u16; 3],
}

impl Nodes {
    /// Nodes in the local environment.
    pub fn local(kind: Kind) -> Self {
        Self::on(kind, servers(kind))
    }

    /// The same on these servers.
    pub fn on(kind: Kind, servers: &[Server; 3]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = COUNT.fetch_add(1, Ordering::SeqCst);
        Self::named_on(
            kind,
            servers,
            &format!("app{tag}"),
            [1, 2, 3].map(|n| format!("t{tag}_node{n}_db")),
        )
    }

    /// Nodes in the cloud environment.
    pub fn cloud(kind: Kind) -> Self {
        let mut nodes = Self::local(kind);
        nodes.in_the_cloud();
        nodes
    }

    /// Both, one after the other.
    pub fn in_both_environments(kind: Kind) -> [Self; 2] {
        [Self::local(kind), Self::cloud(kind)]
    }

    /// Nodes with these names, in the local environment.
    pub fn named(kind: Kind, user: &str, databases: [String; 3]) -> Self {
        Self::named_on(kind, servers(kind), user, databases)
    }

    fn named_on(kind: Kind, servers: &[Server; 3], user: &str, databases: [String; 3]) -> Self {
        let ports = [0, 1, 2].map(|n| servers[n].port);
        let mut nodes = Self {
            kind,
            user: user.to_owned(),
            password: "rootpass".to_owned(),
            databases,
            variables: BTreeMap::new(),
            folder: TempDir::new(),
            ports,
        };
        for number in 1..=3 {
            nodes.make(number);
        }
        nodes.name_them("LOCAL");
        nodes
    }

    fn name_them(&mut self, prefix: &str) {
        self.variables.clear();
        for number in 1..=3 {
            let suffix = suffix(number);
            self.variables
                .insert(format!("{prefix}_DB_HOST{suffix}"), "127.0.0.1".to_owned());
            self.variables.insert(
                format!("{prefix}_DB_PORT{suffix}"),
                self.port(number).to_string(),
            );
            self.variables.insert(
                format!("{prefix}_DB_NAME{suffix}"),
                self.databases[number - 1].clone(),
            );
        }
        self.variables
            .insert(format!("{prefix}_DB_USER"), self.user.clone());
    }

    /// Puts them into the cloud environment.
    pub fn in_the_cloud(&mut self) {
        self.name_them("CLOUD");
        self.set("USE_CLOUD_SQL", "true");
        self.set("TESTER_CLOUD_DB_PASSWORD", "testpass");
        if self.kind == Kind::MariaDb {
            // It has no TLS until it is given a certificate.
            self.set("CLOUD_DB_SSL_MODE", "preferred");
        }
    }

    /// Sets a variable of `.env`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// The prefix of the variables of these nodes' environment.
    pub fn prefix(&self) -> &'static str {
        if self.variables.contains_key("USE_CLOUD_SQL") {
            "CLOUD"
        } else {
            "LOCAL"
        }
    }

    fn make(&self, number: usize) {
        let database = quoted(&self.databases[number - 1]);
        let account = self.account();
        // In a grant the name is a pattern, in which a backslash escapes.
        let pattern = database.replace('\\', "\\\\");
        self.admin(number)
            .query_drop(format!(
                "CREATE DATABASE {database}; CREATE TABLE {database}.t (id INT AUTO_INCREMENT PRIMARY KEY); \
                 CREATE USER IF NOT EXISTS {account} IDENTIFIED BY 'rootpass'; GRANT ALL PRIVILEGES ON {pattern}.* TO {account}"
            ))
            .unwrap();
    }

    /// The account, quoted for SQL.
    pub fn account(&self) -> String {
        format!("{}@`%`", quoted(&self.user))
    }

    pub fn port(&self, number: usize) -> u16 {
        self.ports[number - 1]
    }

    /// Makes the node one whose server has all of another node by itself, by replication.
    pub fn is_also(&mut self, number: usize, server: &Server, other: usize) {
        self.ports[number - 1] = server.port;
        let database = self.databases[other - 1].clone();
        self.set(&format!("LOCAL_DB_NAME_NODE{number}"), &database);
        self.databases[number - 1] = database;
        self.reach_by(number, server.port);
    }

    /// Makes the node anew on another server.
    pub fn move_to(&mut self, number: usize, server: &Server) {
        self.ports[number - 1] = server.port;
        self.make(number);
        self.reach_by(number, server.port);
    }

    /// Puts the node behind another port, of a proxy.
    pub fn reach_by(&mut self, number: usize, port: u16) {
        let suffix = suffix(number);
        let name = format!("{}_DB_PORT{suffix}", self.prefix());
        self.set(&name, &port.to_string());
    }

    /// A new connection of the admin.
    pub fn admin(&self, number: usize) -> Conn {
        login(self.port(number), "tester", "testpass", None).unwrap()
    }

    /// A new connection of the account, its node's database selected.
    pub fn log_in(&self, number: usize) -> Result<Session, mysql::Error> {
        let database = &self.databases[number - 1];
        login(
            self.port(number),
            &self.user,
            &self.password,
            Some(database),
        )
        .map(|conn| Session {
            conn,
            write: format!("INSERT INTO {}.t VALUES ()", quoted(database)),
        })
    }

    /// All that the account may do on the node: its lock and its grants, as the server shows them,
    /// and what was left there.
    pub fn state(&self, number: usize) -> String {
        let mut admin = self.admin(number);
        let hosts = "SELECT Host FROM mysql.user WHERE User = ? ORDER BY Host";
        let hosts: Vec<String> = admin.exec(hosts, (&self.user,)).unwrap();
        let mut state = Vec::new();
        for host in hosts {
            let account = format!("{}@{}", quoted(&self.user), quoted(&host));
            state.extend(
                admin
                    .query::<String, _>(format!("SHOW CREATE USER {account}"))
                    .unwrap(),
            );
            let mut grants: Vec<String> =
                admin.query(format!("SHOW GRANTS FOR {account}")).unwrap();
            if self.kind == Kind::MariaDb {
                // It shows them in the order of their making since it started, and of a hash table:
                // neither says anything about them.
                grants.sort_unstable();
            }
            state.extend(grants);
        }
        state.extend(self.events(number));
        state.join("\n")
    }

    /// The events in the node's database, as the server shows them.
    pub fn events(&self, number: usize) -> Vec<String> {
        let database = &self.databases[number - 1];
        self.admin(number)
            .exec_map(
                "SELECT EVENT_NAME, DEFINER, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?",
                (database,),
                |(name, definer, body): (String, String, String)| format!("{name} {definer} {body}"),
            )
            .unwrap()
    }

    pub fn states(&self) -> [String; 3] {
        [1, 2, 3].map(|number| self.state(number))
    }

    /// Asserts that the account gets in and writes.
    #[track_caller]
    pub fn assert_online(&self, number: usize) {
        let mut session = self
            .log_in(number)
            .unwrap_or_else(|error| panic!("node {number}: no login: {error}"));
        session
            .write()
            .unwrap_or_else(|error| panic!("node {number}: no write: {error}"));
    }

    /// Asserts that the account's login is refused.
    #[track_caller]
    pub fn assert_offline(&self, number: usize) {
        let error = self
            .log_in(number)
            .err()
            .unwrap_or_else(|| panic!("node {number}: the login worked"));
        assert!(
            matches!(error, mysql::Error::MySqlError(_)),
            "node {number}: {error}"
        );
    }

    /// The program in the nodes' folder, with their `.env`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut content = "DOLLAR='$'\n".to_owned();
        for (name, value) in &self.variables {
            writeln!(content, "{name}={}", in_dotenv(value)).unwrap();
        }
        // At once: another program may be reading it.
        let new = self.folder.write("new.env", content);
        std::fs::rename(new, self.folder.path().join(".env")).unwrap();
        command(self.folder.path(), args)
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Program {
        Program::start(&mut self.command(args))
    }

    /// Runs the program with the nodes' `.env` in another folder.
    pub fn run_elsewhere(&self, args: &[&str]) -> Finished {
        drop(self.command(args)); // writes .env
        let folder = TempDir::new();
        std::fs::copy(self.folder.path().join(".env"), folder.path().join(".env")).unwrap();
        Program::start(&mut command(folder.path(), args)).finish()
    }

    /// Starts the program and waits for its prompt.
    #[track_caller]
    pub fn fail(&self, args: &[&str]) -> Program {
        let program = self.start(args);
        program.wait_for(PROMPT);
        program
    }

    /// Runs the program to its end on this input.
    pub fn run(&self, args: &[&str], input: &str) -> Finished {
        let mut program = self.start(args);
        program.answer(input);
        program.finish()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if thread::panicking() {
            return; // Leave them to be looked at.
        }
        for number in 1..=3 {
            // A server of the test's own may be gone.
            let Ok(mut admin) = login(self.port(number), "tester", "testpass", None) else {
                continue;
            };
            let _ = admin.query_drop(format!(
                "DROP DATABASE {}",
                quoted(&self.databases[number - 1])
            ));
            let hosts = admin
                .exec::<String, _, _>("SELECT Host FROM mysql.user WHERE User = ?", (&self.user,));
            for host in hosts.unwrap_or_default() {
                let _ = admin.query_drop(format!(
                    "DROP USER {}@{}",
                    quoted(&self.user),
                    quoted(&host)
                ));
            }
        }
    }
}

/// An open session of the account.
pub struct Session {
    pub conn: Conn,
    write: String,
}

impl Session {
    /// Writes a row.
    pub fn write(&mut self) -> Result<(), mysql::Error> {
        self.conn.query_drop(&self.write)
    }
}

/// Runs what the program printed for this node, as a user would.
pub fn run_by_hand(nodes: &Nodes, number: usize, finished: &Finished) {
    let heading = format!("to bring node {number} (");
    let lines = finished
        .err
        .lines()
        .skip_while(|line| !line.starts_with(&heading))
        .skip(1);
    let statements: Vec<&str> = lines
        .take_while(|line| line.starts_with("  "))
        .map(str::trim)
        .collect();
    assert!(
        statements.len() >= 2,
        "no statements for node {number}: {}",
        finished.err
    );
    nodes
        .admin(number)
        .query_drop(statements.join("\n"))
        .unwrap();
}

/// Gives the nodes an admin of their own, on every node, so that its connection can be told from
/// others'.
pub fn own_admin(nodes: &mut Nodes) -> String {
    let name = format!("adm_{}", nodes.user);
    for number in 1..=3 {
        nodes
            .admin(number)
            .query_drop(format!("CREATE USER `{name}` IDENTIFIED BY 'p'; GRANT ALL ON *.* TO `{name}` WITH GRANT OPTION"))
            .unwrap();
    }
    let prefix = nodes.prefix();
    nodes.set(&format!("TESTER_{prefix}_DB_USER"), &name);
    nodes.set(&format!("TESTER_{prefix}_DB_PASSWORD"), "p");
    name
}

pub fn drop_admin(nodes: &Nodes, name: &str) {
    for number in 1..=3 {
        nodes
            .admin(number)
            .query_drop(format!("DROP USER `{name}`"))
            .unwrap();
    }
}

/// Gives node 1 an admin of its own with these rights.
pub fn admin_with(nodes: &mut Nodes, rights: &[&str]) -> String {
    let name = format!("low{}", nodes.user);
    let mut root = nodes.admin(1);
    let make = format!("CREATE USER `{name}` IDENTIFIED BY 'p'");
    root.query_drop(make).unwrap();
    for right in rights {
        root.query_drop(format!("GRANT {right} TO `{name}`"))
            .unwrap_or_else(|error| panic!("{right}: {error}"));
    }
    let prefix = nodes.prefix();
    nodes.set(&format!("TESTER_{prefix}_DB_USER_NODE1"), &name);
    nodes.set(&format!("TESTER_{prefix}_DB_PASSWORD_NODE1"), "p");
    name
}

/// One who may lock accounts, and make no events.
pub fn admin_without_events(nodes: &mut Nodes) -> String {
    let more = match nodes.kind {
        Kind::MySql => "CONNECTION_ADMIN, SESSION_VARIABLES_ADMIN",
        Kind::MariaDb => "CONNECTION ADMIN, BINLOG ADMIN, READ_ONLY ADMIN",
    };
    let rights = format!("PROCESS, SHOW DATABASES, CREATE USER, {more} ON *.*");
    admin_with(nodes, &["SELECT ON mysql.*", &rights])
}

/// The admin's connection that the program holds to this node.
pub fn held_connection(nodes: &Nodes, number: usize, admin: &str) -> u64 {
    let id =
        "SELECT ID FROM information_schema.processlist WHERE USER = ? AND ID <> CONNECTION_ID()";
    nodes
        .admin(number)
        .exec_first(id, (admin,))
        .unwrap()
        .unwrap()
}
