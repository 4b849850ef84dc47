//! Real servers. They come up once for all tests and end with the test process, even when that is
//! killed: each runs under `scripts/server`, which stops when its standard input ends.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use super::*;

/// A running server. It ends when this goes out of scope, or with the test process.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    /// `scripts/server`, which runs it for as long as its input is open.
    script: Child,
}

/// The file in a server's folder that has it log in by `tests/pam.c`.
const PAM: &str = "pam";

/// The file in a server's folder that makes it faulty.
const FAULTS: &str = "faults";

/// The library that makes a server, or the program's resolver, faulty.
pub fn faults_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library("faults"))
}

/// The one that stands in for PAM.
fn pam_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library("pam"))
}

fn library(name: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
    let source = format!("{}/tests/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(built.unwrap().success());
    library
}

/// The option for MariaDB's ways to log in that are not among its core.
pub fn mariadb_plugins() -> String {
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(
        |_| Path::new(&std::env::var("HOME").unwrap()).join(".cache"),
        Into::into,
    );
    let plugins = cache.join("fail-start/mariadb-plugins");
    format!("--plugin-dir={}", plugins.display())
}

const ADMINS: &str = "\
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'tester'@'%' IDENTIFIED BY 'testpass';
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;
";

impl Server {
    /// Starts a new server with these options on top.
    pub fn start(kind: Kind, options: &[&str]) -> Self {
        Self::start_new(kind.name(), TempDir::new(), options)
    }

    /// Starts a new server whose disk can be full and whose clock can jump, see `tests/faults.c`.
    pub fn start_faulty(kind: Kind, options: &[&str]) -> Self {
        let folder = TempDir::new();
        folder.write(FAULTS, [0; 16]);
        // The kernel's own way to write passes by what is preloaded.
        let own = ["--innodb-use-native-aio=0"];
        Self::start_new(kind.name(), folder, &[&own, options].concat())
    }

    /// Starts a MariaDB on which accounts can log in by `the token` in clear text: see
    /// `tests/pam.c`.
    pub fn start_with_tokens(options: &[&str]) -> Self {
        let folder = TempDir::new();
        folder.write(PAM, "");
        let plugins = mariadb_plugins();
        let own = [
            &plugins,
            "--plugin-load-add=auth_pam_v1",
            "--loose-pam-use-cleartext-plugin=ON",
        ];
        Self::start_new(Kind::MariaDb.name(), folder, &[&own[..], options].concat())
    }

    /// Starts a new server of another release, by the name that `scripts/server` has for it.
    pub fn start_release(name: &str, options: &[&str]) -> Self {
        Self::start_new(name, TempDir::new(), options)
    }

    fn start_new(name: &str, folder: TempDir, options: &[&str]) -> Self {
        let init = folder.write("init.sql", ADMINS);
        let init = format!("--init-file={}", init.display());
        Self::start_in(name, folder, &[&[init.as_str()], options].concat())
    }

    /// Fills its disk, or not, and sets its clock off by so many seconds. It must have been
    /// [started](Self::start_faulty) for that.
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
        Self::start_in(kind.name(), folder, options)
    }

    /// Starts the server that was shut down again, on the port that it had.
    pub fn start_again(kind: Kind, folder: TempDir, port: u16, options: &[&str]) -> Self {
        Self::try_start(kind.name(), folder, port, options)
            .unwrap_or_else(|_| panic!("{kind:?} does not start again"))
    }

    fn start_in(name: &str, mut folder: TempDir, options: &[&str]) -> Self {
        // Another program may take the port before the server does.
        for _ in 0..5 {
            match Self::try_start(name, folder, free_port(), options) {
                Ok(server) => return server,
                Err(again) => folder = again,
            }
        }
        panic!("{name} does not start");
    }

    fn try_start(
        name: &str,
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
        if folder.path().join(PAM).exists() {
            script.env("LD_PRELOAD", pam_library());
        }
        let mut script = script
            .arg(name)
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

    /// By which statements a MariaDB becomes this one's replica.
    pub fn followed_by_mariadb(&self) -> String {
        format!(
            "SET GLOBAL gtid_slave_pos = ''; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, \
             MASTER_USER = 'tester', MASTER_PASSWORD = 'testpass', MASTER_USE_GTID = slave_pos; START SLAVE",
            self.port
        )
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
