//! Real servers, nodes on them, and the program run as a user runs it.
//!
//! The servers come up once for all tests and end with the test process, even when that is killed: each runs under
//! `scripts/server`, which stops when its standard input ends. Each test has an account and databases of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

/// The longest wait for anything: far more than it takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The servers that everything is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MySql,
    MariaDb,
}

/// Waits until `done` gives something, and panics with `what` when that takes too long.
#[track_caller]
pub fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A folder that is removed when it goes out of scope. Its path is short, as a socket's must be.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "fail-start-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::SeqCst)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that nothing listens on just now, and that no other test was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// A running server. It ends when this goes out of scope, or with the test process.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    /// `scripts/server`, which runs it for as long as its input is open.
    script: Child,
}

/// The file in a server's folder that makes it faulty.
const FAULTS: &str = "faults";

/// The library that makes a server, or the program's resolver, faulty.
pub fn faults_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&library)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults.c"))
            .status();
        assert!(built.unwrap().success());
        library
    })
}

const ADMINS: &str = "\
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'tester'@'%' IDENTIFIED BY 'testpass';
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;
";

impl Server {
    /// Starts a new server with these options on top.
    pub fn start(kind: Kind, options: &[&str]) -> Self {
        Self::start_new(kind, TempDir::new(), options)
    }

    /// Starts a new server whose disk can be full and whose clock can jump, see `tests/faults.c`.
    pub fn start_faulty(kind: Kind, options: &[&str]) -> Self {
        let folder = TempDir::new();
        folder.write(FAULTS, [0; 16]);
        // The kernel's own way to write passes by what is preloaded.
        let own = ["--innodb-use-native-aio=0"];
        Self::start_new(kind, folder, &[&own, options].concat())
    }

    fn start_new(kind: Kind, folder: TempDir, options: &[&str]) -> Self {
        let init = folder.write("init.sql", ADMINS);
        let init = format!("--init-file={}", init.display());
        Self::start_in(kind, folder, &[&[init.as_str()], options].concat())
    }

    /// Fills its disk, or not, and sets its clock off by so many seconds. It must have been [started](Self::start_faulty)
    /// for that.
    pub fn inject_faults(&self, disk_is_full: bool, seconds_off: i64) {
        let faults = [i64::from(disk_is_full), seconds_off].map(i64::to_ne_bytes);
        // In place, since the server has it mapped.
        let mut file = File::options()
            .write(true)
            .open(self.folder.path().join(FAULTS))
            .unwrap();
        file.write_all(faults.as_flattened()).unwrap();
    }

    /// Starts a server on a copy of the data of one that was shut down.
    pub fn start_from(kind: Kind, data: &TempDir, options: &[&str]) -> Self {
        let folder = TempDir::new();
        let copied = Command::new("cp")
            .arg("-r")
            .arg(data.path().join("server"))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success());
        Self::start_in(kind, folder, options)
    }

    /// Starts the server that was shut down again, on the port that it had.
    pub fn start_again(kind: Kind, folder: TempDir, port: u16, options: &[&str]) -> Self {
        Self::try_start(kind, folder, port, options)
            .unwrap_or_else(|_| panic!("{kind:?} does not start again"))
    }

    fn start_in(kind: Kind, mut folder: TempDir, options: &[&str]) -> Self {
        // Another program may take the port before the server does.
        for _ in 0..5 {
            match Self::try_start(kind, folder, free_port(), options) {
                Ok(server) => return server,
                Err(again) => folder = again,
            }
        }
        panic!("{kind:?} does not start");
    }

    fn try_start(
        kind: Kind,
        folder: TempDir,
        port: u16,
        options: &[&str],
    ) -> Result<Self, TempDir> {
        let path = std::env::var("PATH").unwrap();
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/server"));
        let faults = folder.path().join(FAULTS);
        if faults.exists() {
            script
                .env("LD_PRELOAD", faults_library())
                .env("FAIL_START_FAULTS", faults);
        }
        let mut script = script
            .arg(match kind {
                Kind::MySql => "mysql",
                Kind::MariaDb => "mariadb",
            })
            .arg(folder.path().join("server"))
            .arg(port.to_string())
            .args(["--max-connections=3000", "--character-set-server=utf8mb4"])
            .args(options)
            // A Galera server looks for its ways of state transfer there.
            .env(
                "PATH",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/galera:").to_owned() + &path,
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C at the tests must not end it before it has ended its server.
            .process_group(0)
            .spawn()
            .unwrap();
        let serves = wait_until("the server serves", || match script.try_wait().unwrap() {
            Some(_) => Some(false),
            // Another server may have been faster on this port: then this one ends.
            None => login(port, "tester", "testpass", None)
                .ok()
                .and_then(|mut admin| {
                    let data: String = admin.query_first("SELECT @@datadir").ok()??;
                    data.starts_with(folder.path().to_str()?).then_some(true)
                }),
        });
        if serves {
            Ok(Self {
                port,
                folder,
                script,
            })
        } else {
            Err(folder)
        }
    }

    /// Shuts it down; its data stays in the folder.
    pub fn shut_down(mut self) -> TempDir {
        let mut admin = login(self.port, "tester", "testpass", None).unwrap();
        // A member of a cluster does as it is told only when it is part of it.
        wait_until("it obeys", || admin.query_drop("SHUTDOWN").ok());
        let ended = wait_until("the server ends", || self.script.try_wait().unwrap());
        assert!(ended.success());
        self.folder
    }

    /// How far its binary log has been written.
    pub fn log_position(&self) -> u64 {
        let mut admin = login(self.port, "tester", "testpass", None).unwrap();
        let server: String = admin.query_first("SELECT VERSION()").unwrap().unwrap();
        let position = if server.contains("MariaDB") {
            "SHOW MASTER STATUS"
        } else {
            "SHOW BINARY LOG STATUS"
        };
        let row: mysql::Row = admin.query_first(position).unwrap().unwrap();
        row.get(1).unwrap()
    }

    /// The socket of its X Protocol.
    pub fn x_socket(&self) -> PathBuf {
        self.folder.path().join("server/x")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("server/socket")
    }
}

/// The three servers of this kind that all tests share.
pub fn servers(kind: Kind) -> &'static [Server; 3] {
    static MYSQL: OnceLock<[Server; 3]> = OnceLock::new();
    static MARIADB: OnceLock<[Server; 3]> = OnceLock::new();
    let cell = match kind {
        Kind::MySql => &MYSQL,
        Kind::MariaDb => &MARIADB,
    };
    cell.get_or_init(|| {
        let starting = [(); 3].map(|()| thread::spawn(move || Server::start(kind, &[])));
        starting.map(|server| server.join().unwrap())
    })
}

/// Logs in over TCP.
pub fn login(
    port: u16,
    user: &str,
    password: &str,
    database: Option<&str>,
) -> Result<Conn, mysql::Error> {
    Conn::new(
        OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(port)
            .user(Some(user))
            .pass(Some(password))
            .db_name(database)
            .prefer_socket(false)
            .read_timeout(Some(PATIENCE)),
    )
}

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

/// Three nodes of one test, each on a server of its own, with an account and databases that no other test has.
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
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = COUNT.fetch_add(1, Ordering::SeqCst);
        Self::named(
            kind,
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
        let ports = [0, 1, 2].map(|n| servers(kind)[n].port);
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

    /// All that the account may do on the node: its lock and its grants, as the server shows them, and what was left there.
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
                // It shows them in the order of their making since it started, and of a hash table: neither says
                // anything about them.
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

/// The question, to the letter.
pub const PROMPT: &str = "Start Server Again (Grant Privileges) (Y/N): ";

pub fn offline(number: usize) -> String {
    format!("❌ NODE {number} IS NOW OFFLINE (simulated)")
}

pub fn online(number: usize) -> String {
    format!("✅ NODE {number} IS NOW ONLINE (recovered)")
}

/// The program, with nothing of this process's environment.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fail-start"));
    command.args(args).current_dir(folder).env_clear();
    command
}

#[derive(Default)]
struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
}

/// The running program.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    printed: Arc<(Mutex<Printed>, Condvar)>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// The program's end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; 128 and the signal where one ended it.
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Arc::new((Mutex::new(Printed::default()), Condvar::new()));
        let readers = vec![
            read_into(child.stdout.take().unwrap(), &printed, |printed| {
                &mut printed.out
            }),
            read_into(child.stderr.take().unwrap(), &printed, |printed| {
                &mut printed.err
            }),
        ];
        Self {
            input: child.stdin.take(),
            child,
            printed,
            readers,
        }
    }

    /// Waits until it has printed this, on either stream, and returns all that it has printed.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until it has printed this so many times.
    #[track_caller]
    pub fn wait_for_nth(&self, text: &str, count: usize) -> String {
        self.wait_until_printed(text, |printed| printed.matches(text).count() >= count)
    }

    /// Waits until it has printed one of these.
    #[track_caller]
    pub fn wait_for_any(&self, texts: &[&str]) -> String {
        let printed = |printed: &str| texts.iter().any(|text| printed.contains(text));
        self.wait_until_printed(&texts.join("' or '"), printed)
    }

    #[track_caller]
    fn wait_until_printed(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let (printed, changed) = &*self.printed;
        let mut printed = printed.lock().unwrap();
        let began = Instant::now();
        loop {
            let all = [&printed.out[..], &printed.err[..]].concat();
            let all = String::from_utf8_lossy(&all).into_owned();
            if enough(&all) {
                return all;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "'{what}' was not printed, but\n{all}"
            );
            printed = changed
                .wait_timeout(printed, Duration::from_millis(100))
                .unwrap()
                .0;
        }
    }

    /// All that it has printed so far, on both streams.
    pub fn printed(&self) -> String {
        let printed = self.printed.0.lock().unwrap();
        String::from_utf8_lossy(&[&printed.out[..], &printed.err[..]].concat()).into_owned()
    }

    pub fn answer(&mut self, text: &str) {
        // It may have ended before it read all of it.
        let _ = self.input.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        assert!(self.try_signal(name));
    }

    fn try_signal(&self, name: &str) -> bool {
        let kill = format!("kill -s {name} {} 2>/dev/null", self.child.id());
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal_if_running(&mut self, name: &str) {
        assert!(self.try_signal(name) || !self.is_running());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal_if_running("KILL");
        self.end();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until this is so of what it has printed on standard output, or it has ended.
    #[track_caller]
    pub fn until(&mut self, so: impl Fn(&str) -> bool) {
        wait_until("what the program does", || {
            let out = String::from_utf8_lossy(&self.printed.0.lock().unwrap().out).into_owned();
            (so(&out) || !self.is_running()).then_some(())
        });
    }

    /// Waits for its end. Its standard input stays open.
    #[track_caller]
    pub fn end(&mut self) -> Finished {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let printed = self.printed.0.lock().unwrap();
                let (out, err) = (
                    String::from_utf8_lossy(&printed.out),
                    String::from_utf8_lossy(&printed.err),
                );
                panic!("it did not end\n--- standard output\n{out}\n--- standard error\n{err}");
            }
            thread::park_timeout(Duration::from_millis(2));
        };
        // What it has left behind may hold its output open.
        for reader in self.readers.drain(..) {
            wait_until("the end of its output", || {
                reader.is_finished().then_some(())
            });
            reader.join().unwrap();
        }
        let printed = self.printed.0.lock().unwrap();
        Finished {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            out: String::from_utf8(printed.out.clone()).unwrap(),
            err: String::from_utf8(printed.err.clone()).unwrap(),
        }
    }

    /// Ends its standard input and waits for its end.
    #[track_caller]
    pub fn finish(&mut self) -> Finished {
        self.end_input();
        self.end()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_into(
    mut from: impl Read + Send + 'static,
    printed: &Arc<(Mutex<Printed>, Condvar)>,
    stream: fn(&mut Printed) -> &mut Vec<u8>,
) -> thread::JoinHandle<()> {
    let printed = Arc::clone(printed);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            stream(&mut printed.0.lock().unwrap()).extend_from_slice(&buffer[..length]);
            printed.1.notify_all();
        }
    })
}

impl Finished {
    /// Asserts the exit status, and shows everything where it is another.
    #[track_caller]
    pub fn assert_status(&self, status: i32) -> &Self {
        assert_eq!(
            self.status, status,
            "exit status\n--- standard output\n{}\n--- standard error\n{}",
            self.out, self.err
        );
        self
    }

    /// Asserts that standard error has this.
    #[track_caller]
    pub fn assert_says(&self, text: &str) -> &Self {
        assert!(
            self.err.contains(text),
            "'{text}' is not on standard error\n--- standard output\n{}\n--- standard error\n{}",
            self.out,
            self.err
        );
        self
    }

    /// Asserts that standard output has this line.
    #[track_caller]
    pub fn assert_line(&self, line: &str) -> &Self {
        assert!(
            self.out.lines().any(|one| one == line),
            "'{line}' is no line of standard output\n--- standard output\n{}\n--- standard error\n{}",
            self.out,
            self.err
        );
        self
    }
}
