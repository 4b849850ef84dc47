//! The admins and accounts of managed services, built by SQL with the rights that their
//! documentation says. Emulated by privilege: nothing of this was tried on the real service.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;

use crate::harness::{Kind, Nodes, Server, Session, login, offline, online, quoted, wait_until};
use crate::late_logins;
use crate::raw::Raw;
use crate::reach::certificates;

/// The services' names for what all of them hand out.
const STATIC: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, \
                      CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, \
                      SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER";
const ROLES: &str = "CREATE ROLE, DROP ROLE";
/// What those with partial revokes may not do to the server's own databases.
const NOT_OWN: &str =
    "INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE VIEW, TRIGGER";

/// Who ends the sessions where the account's password is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Admin,
    Procedure,
    Nobody,
}

/// A service, by what its admin may.
#[derive(Clone, Copy)]
struct Service {
    name: &'static str,
    server: fn() -> &'static Server,
    /// Makes the admin's rights: `{admin}`, `{role}`, `{db}`.
    rights: &'static [&'static str],
    ends: Ends,
    /// Makes the rights of an account of its console, if they differ from those of one that is made
    /// by SQL: `{account}` too.
    console: &'static [&'static str],
}

/// Whether it is by a role or not, an admin's rights are all these.
fn mysql() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(Kind::MySql, &["--sql-mode=ANSI,TRADITIONAL"]))
}

fn partial() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let options = ["--partial-revokes=ON", "--sql-mode=ANSI,TRADITIONAL"];
        Server::start(Kind::MySql, &options)
    })
}

fn aurora() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let options = [
            "--partial-revokes=ON",
            "--performance-schema=OFF",
            "--skip-log-bin",
        ];
        start(Kind::MySql, &options)
    })
}

fn mariadb() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(Kind::MariaDb, &["--log-bin"]))
}

/// A server with stand-ins for the services' procedures.
fn start(kind: Kind, options: &[&str]) -> Server {
    let server = Server::start(kind, options);
    let mut root = login(server.port, "tester", "testpass", None).unwrap();
    for name in ["rds_kill", "az_kill"] {
        let procedure = format!(
            "CREATE PROCEDURE mysql.{name} (IN thread BIGINT) SQL SECURITY DEFINER KILL thread"
        );
        root.query_drop(procedure).unwrap();
    }
    server
}

const CLOUD_SQL: Service = Service {
    name: "cloudsql",
    server: partial,
    rights: &[
        "CREATE ROLE {role}",
        "GRANT {static}, {roles}, SHUTDOWN, CREATE TABLESPACE ON *.* TO {role} WITH GRANT OPTION",
        "REVOKE {not_own} ON mysql.* FROM {role}",
        "GRANT {role} TO {admin}",
        "SET DEFAULT ROLE {role} TO {admin}",
    ],
    ends: Ends::Nobody,
    console: &[
        "REVOKE ALL ON {db}.* FROM {account}",
        "GRANT {role} TO {account}",
        "SET DEFAULT ROLE {role} TO {account}",
    ],
};

/// Nobody outside knows whether it holds that.
const CLOUD_SQL_THAT_KILLS: Service = Service {
    name: "cloudkill",
    rights: &[
        "CREATE ROLE {role}",
        "GRANT {static}, {roles}, SHUTDOWN, CREATE TABLESPACE ON *.* TO {role} WITH GRANT OPTION",
        "GRANT CONNECTION_ADMIN ON *.* TO {role}",
        "REVOKE {not_own} ON mysql.* FROM {role}",
        "GRANT {role} TO {admin}",
        "SET DEFAULT ROLE {role} TO {admin}",
    ],
    ends: Ends::Admin,
    ..CLOUD_SQL
};

const RDS: Service = Service {
    name: "rds",
    server: mysql,
    rights: &[
        "CREATE ROLE {role}",
        "GRANT {static}, {roles} ON *.* TO {role} WITH GRANT OPTION",
        "GRANT APPLICATION_PASSWORD_ADMIN, ROLE_ADMIN, SET_ANY_DEFINER, XA_RECOVER_ADMIN ON *.* TO {role} WITH GRANT OPTION",
        "GRANT {role} TO {admin}",
        "SET DEFAULT ROLE {role} TO {admin}",
    ],
    ends: Ends::Procedure,
    console: &[],
};

const AURORA: Service = Service {
    name: "aurora",
    server: aurora,
    rights: &[
        "CREATE ROLE {role}",
        "GRANT {static}, {roles} ON *.* TO {role} WITH GRANT OPTION",
        "GRANT CONNECTION_ADMIN, ROLE_ADMIN, XA_RECOVER_ADMIN ON *.* TO {role} WITH GRANT OPTION",
        "REVOKE {not_own} ON mysql.* FROM {role}",
        "GRANT {role} TO {admin}",
        "SET DEFAULT ROLE {role} TO {admin}",
    ],
    ends: Ends::Admin,
    console: &[],
};

const RDS_MARIADB: Service = Service {
    name: "rdsmaria",
    server: mariadb,
    rights: &["GRANT {static}, DELETE HISTORY, SLAVE MONITOR ON *.* TO {admin} WITH GRANT OPTION"],
    ends: Ends::Procedure,
    console: &[],
};

const AZURE: Service = Service {
    name: "azure",
    server: mysql,
    rights: &[
        "GRANT {static}, {roles} ON *.* TO {admin} WITH GRANT OPTION",
        "GRANT REPLICATION_APPLIER, ROLE_ADMIN, SESSION_VARIABLES_ADMIN, SHOW_ROUTINE, XA_RECOVER_ADMIN ON *.* TO {admin} \
         WITH GRANT OPTION",
        "ALTER USER {admin} REQUIRE SSL",
    ],
    ends: Ends::Procedure,
    console: &[],
};

const DIGITAL_OCEAN: Service = Service {
    name: "doadmin",
    server: mysql,
    rights: &[
        "GRANT CREATE, DROP, PROCESS, SHOW DATABASES, REPLICATION CLIENT, CREATE USER, {roles} ON *.* TO {admin} \
         WITH GRANT OPTION",
        "GRANT ALL ON {db}.* TO {admin} WITH GRANT OPTION",
        "GRANT SELECT ON mysql.* TO {admin}",
        "GRANT SELECT ON sys.* TO {admin}",
        "GRANT SELECT ON performance_schema.* TO {admin}",
    ],
    ends: Ends::Nobody,
    console: &[
        "GRANT CREATE, DROP, PROCESS, SHOW DATABASES, REPLICATION CLIENT, CREATE USER, {roles} ON *.* TO {account}",
    ],
};

const AIVEN: Service = Service {
    name: "aiven",
    server: partial,
    rights: &[
        "GRANT {static} ON *.* TO {admin} WITH GRANT OPTION",
        "REVOKE {not_own}, EXECUTE ON mysql.* FROM {admin}",
        "REVOKE {not_own} ON sys.* FROM {admin}",
    ],
    ends: Ends::Nobody,
    console: &[
        "REVOKE ALL ON {db}.* FROM {account}",
        "GRANT {static} ON *.* TO {account} WITH GRANT OPTION",
        "REVOKE {not_own} ON mysql.* FROM {account}",
        "REVOKE {not_own} ON sys.* FROM {account}",
    ],
};

const HEAT_WAVE: Service = Service {
    name: "heatwave",
    server: partial,
    rights: &[
        "GRANT {static}, {roles} ON *.* TO {admin} WITH GRANT OPTION",
        "REVOKE RELOAD ON *.* FROM {admin}",
        "GRANT CONNECTION_ADMIN ON *.* TO {admin}",
        "REVOKE {not_own} ON mysql.* FROM {admin}",
        "REVOKE {not_own} ON sys.* FROM {admin}",
    ],
    ends: Ends::Admin,
    console: &[],
};

impl Service {
    fn kind(&self) -> Kind {
        if self.name == RDS_MARIADB.name {
            Kind::MariaDb
        } else {
            Kind::MySql
        }
    }

    /// Three nodes in the cloud, the first of them this service's, with its admin.
    fn nodes(&self) -> Nodes {
        let mut nodes = Nodes::cloud(self.kind());
        nodes.move_to(1, (self.server)());
        let admin = format!("{}{}", self.name, nodes.user);
        nodes.set("TESTER_CLOUD_DB_USER", &admin);
        nodes.set("TESTER_CLOUD_DB_PASSWORD", "adminpass");
        let mut root = nodes.admin(1);
        let make = format!("CREATE USER {} IDENTIFIED BY 'adminpass'", quoted(&admin));
        root.query_drop(make).unwrap();
        self.run(&nodes, self.rights);
        nodes
    }

    /// The same, with an account as the service's console makes it.
    fn console(&self) -> Nodes {
        let nodes = self.nodes();
        self.run(&nodes, self.console);
        nodes
    }

    fn run(&self, nodes: &Nodes, statements: &[&str]) {
        let mut root = nodes.admin(1);
        let admin = format!("{}{}", self.name, nodes.user);
        for statement in statements {
            let statement = statement
                .replace("{admin}", &quoted(&admin))
                .replace("{role}", &quoted(&format!("role_{admin}")))
                .replace("{db}", &quoted(&nodes.databases[0]))
                .replace("{account}", &nodes.account())
                .replace("{static}", STATIC)
                .replace("{roles}", ROLES)
                .replace("{not_own}", NOT_OWN);
            root.query_drop(&statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
}

fn know_the_password(nodes: &mut Nodes) {
    nodes.set("CLOUD_DB_PASSWORD", "rootpass");
}

/// How many sessions of the account there are on node 1.
fn sessions(nodes: &Nodes) -> u64 {
    let count = "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = ?";
    let mut root = nodes.admin(1);
    root.exec_first(count, (&nodes.user,)).unwrap().unwrap()
}

fn nobody_is_left(nodes: &Nodes) {
    wait_until("nobody is left", || (sessions(nodes) == 0).then_some(()));
}

/// An outage, in every way: dry, with an answer, with a deadline, and killed. Meanwhile so many
/// sessions of the account are there, of fail-start.
#[track_caller]
fn goes_and_comes_back(nodes: &Nodes, args: &[&str], kept: u64) {
    let before = nodes.state(1);
    let with = |more: &[&'static str]| [args, more].concat();
    nobody_is_left(nodes);
    let mut open: Vec<Session> = (0..5).map(|_| nodes.log_in(1).unwrap()).collect();
    let dry = nodes.run(&with(&["--dry-run"]), "");
    dry.assert_status(0);
    assert!(dry.out.contains("5 sessions would end"), "{}", dry.out);
    assert_eq!(nodes.state(1), before);

    let mut program = nodes.fail(args);
    assert_eq!(sessions(nodes), kept, "{}", program.printed());
    let writing = open.iter_mut().filter_map(|one| one.write().ok()).count();
    assert_eq!(writing, 0, "of 5 sessions");
    nodes.assert_offline(1);
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0).assert_line(&online(1));
    assert!(
        finished.out.contains("5 sessions ended"),
        "{}",
        finished.out
    );
    assert_eq!(nodes.state(1), before);
    nodes.assert_online(1);

    let finished = nodes.run(&with(&["--for", "100ms"]), "");
    finished.assert_status(0).assert_line(&online(1));
    assert_eq!(nodes.state(1), before);

    let mut program = nodes.fail(args);
    program.kill();
    nodes.assert_offline(1);
    let recovered = nodes.run(&["recover", "1"], "");
    recovered.assert_status(0).assert_line(&online(1));
    assert_eq!(nodes.state(1), before);
    nodes.assert_online(1);
}

/// Killed in an outage with a deadline, which the server keeps.
#[track_caller]
fn comes_back_by_itself(nodes: &Nodes, args: &[&str]) {
    let before = nodes.state(1);
    let mut program = nodes.start(&[args, &["--for", "1s"]].concat());
    program.wait_for(&offline(1));
    program.kill();
    nodes.assert_offline(1);
    wait_until("it comes back by itself", || {
        (nodes.state(1) == before).then_some(())
    });
    nodes.assert_online(1);
}

/// All of it, for one service.
fn serves(service: Service) {
    let mut nodes = service.nodes();
    for method in ["lock", "revoke"] {
        let args = ["1", "--method", method];
        if service.ends == Ends::Nobody {
            let before = nodes.state(1);
            for more in [&["--json"][..], &["--json", "--dry-run"]] {
                let refused = nodes.run(&[&args[..], more].concat(), "Y\n");
                refused
                    .assert_status(1)
                    .assert_kinds(&["cannot_end_sessions"])
                    .assert_says("set CLOUD_DB_PASSWORD, so that")
                    .assert_says("--keep-sessions");
                assert!(
                    !refused.err.to_lowercase().contains("grant"),
                    "{}",
                    refused.err
                );
            }
            assert_eq!(nodes.state(1), before);
            let kept = nodes.run(&[&args[..], &["--keep-sessions"]].concat(), "Y\n");
            kept.assert_status(0).assert_line(&online(1));
            assert_eq!(nodes.state(1), before);
        } else {
            goes_and_comes_back(&nodes, &args, 0);
        }
    }
    know_the_password(&mut nodes);
    for method in ["lock", "revoke"] {
        let args = ["1", "--method", method];
        let kept = u64::from(service.ends != Ends::Admin);
        goes_and_comes_back(&nodes, &args, kept);
        comes_back_by_itself(&nodes, &args);
    }
    if service.console.is_empty() {
        return;
    }
    let mut nodes = service.console();
    know_the_password(&mut nodes);
    let args = ["1", "--method", "lock"];
    let kept = u64::from(service.ends != Ends::Admin);
    goes_and_comes_back(&nodes, &args, kept);
    comes_back_by_itself(&nodes, &args);
    let before = nodes.state(1);
    if service.name == AIVEN.name {
        goes_and_comes_back(&nodes, &["1"], kept);
        comes_back_by_itself(&nodes, &["1"]);
    } else {
        let refused = nodes.run(&["1", "--json"], "Y\n");
        refused
            .assert_status(1)
            .assert_kinds(&["other_way_in"])
            .assert_says(": use --method lock");
        assert_eq!(nodes.state(1), before);
    }
}

/// Some services at the same time, each in a thread.
fn serve(services: &'static [Service]) {
    thread::scope(|scope| {
        let each = services.iter().map(|service| {
            thread::Builder::new()
                .name(service.name.to_owned())
                .spawn_scoped(scope, || serves(*service))
                .unwrap()
        });
        let each: Vec<_> = each.collect();
        for one in each {
            let name = one.thread().name().unwrap_or_default().to_owned();
            assert!(one.join().is_ok(), "{name}");
        }
    });
}

#[test]
fn rds_azure_and_digital_ocean() {
    serve(&[RDS, AZURE, DIGITAL_OCEAN]);
}

#[test]
fn cloud_sql_aiven_and_heat_wave() {
    serve(&[CLOUD_SQL, CLOUD_SQL_THAT_KILLS, AIVEN, HEAT_WAVE]);
}

#[test]
fn aurora_and_rds_for_mariadb() {
    serve(&[AURORA, RDS_MARIADB]);
}

/// Opens node 1 for the account and lets a session in, whatever the outage is by.
fn gets_in(nodes: &Nodes) -> Session {
    let account = nodes.account();
    let mut root = nodes.admin(1);
    root.query_drop("SET sql_log_bin = 0").unwrap();
    wait_until("a session gets in", || {
        root.query_drop(format!("ALTER USER {account} ACCOUNT UNLOCK"))
            .unwrap();
        let session = nodes.log_in(1);
        root.query_drop(format!("ALTER USER {account} ACCOUNT LOCK"))
            .unwrap();
        session.ok()
    })
}

#[test]
fn who_gets_in_later_is_ended_by_whoever_ended_the_others() {
    for (service, with_password) in [
        (RDS, false),
        (RDS, true),
        (RDS_MARIADB, true),
        (DIGITAL_OCEAN, true),
    ] {
        let mut nodes = service.nodes();
        if with_password {
            know_the_password(&mut nodes);
        }
        let before = nodes.state(1);
        let mut program = nodes.fail(&["1", "--method", "lock", "--json"]);
        let mut session = gets_in(&nodes);
        wait_until("it is ended", || {
            session.conn.query_drop("DO 1").is_err().then_some(())
        });
        program.wait_for_kind("got_in");
        if with_password {
            // The session of the account that ends the others is cut.
            nodes
                .admin(1)
                .exec_iter(
                    "SELECT ID FROM information_schema.processlist WHERE USER = ?",
                    (&nodes.user,),
                )
                .unwrap()
                .map(|row| mysql::from_row::<u64>(row.unwrap()))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|id| {
                    let _ = nodes.admin(1).query_drop(format!("KILL {id}"));
                });
            if service.ends == Ends::Nobody {
                program.wait_for_kind("cannot_end_sessions");
                let mut session = gets_in(&nodes);
                session.conn.query_drop("DO 1").unwrap();
            } else {
                let mut session = gets_in(&nodes);
                wait_until("it is ended", || {
                    session.conn.query_drop("DO 1").is_err().then_some(())
                });
            }
        }
        program.answer("Y\n");
        program.end().assert_status(0).assert_says(&online(1));
        assert_eq!(nodes.state(1), before);
    }
}

#[test]
fn a_login_that_only_an_admin_could_end_is_waited_for() {
    for service in [RDS, DIGITAL_OCEAN, RDS_MARIADB] {
        let mut nodes = service.nodes();
        know_the_password(&mut nodes);
        for method in ["lock", "revoke"] {
            nodes.assert_online(1);
            let pauses = (1..=10).map(|step| Duration::from_millis(step * 200));
            let clients = pauses.map(|pause| {
                let mut client = Raw::connect(nodes.port(1));
                client.send_user(&nodes.user, &nodes.databases[0]);
                (client, pause)
            });
            let args = ["1", "--method", method];
            late_logins::none_writes(&nodes, &args, clients.collect());
        }
    }
}

#[test]
fn a_login_that_hangs_for_longer_than_the_timeout_is_told_and_keeps_nothing() {
    let mut nodes = DIGITAL_OCEAN.nodes();
    know_the_password(&mut nodes);
    let before = nodes.state(1);
    let (check, _) = Raw::id(nodes.port(1));
    let args = ["1", "--method", "lock", "--timeout", "1s", "--json"];
    nodes
        .run(&args, "Y\n")
        .assert_status(0)
        .assert_kinds(&["reaches_replicas", "logins_under_way"]);
    assert_eq!(nodes.state(1), before);
    drop(check);
}

#[test]
fn what_the_services_procedure_says_is_told_and_nothing_stays_changed() {
    let server = Server::start(Kind::MySql, &["--partial-revokes=ON"]);
    let mut nodes = Nodes::cloud(Kind::MySql);
    nodes.move_to(1, &server);
    let mut root = nodes.admin(1);
    // As RDS had it once: the user name does not fit.
    root.query_drop(
        "CREATE PROCEDURE mysql.rds_kill (IN thread BIGINT) SQL SECURITY DEFINER BEGIN DECLARE name VARCHAR(3); \
         SELECT USER INTO name FROM information_schema.processlist WHERE ID = thread; KILL thread; END",
    )
    .unwrap();
    RDS.run(&nodes, &["CREATE USER {admin} IDENTIFIED BY 'adminpass'"]);
    RDS.run(&nodes, RDS.rights);
    nodes.set("TESTER_CLOUD_DB_USER", &format!("rds{}", nodes.user));
    nodes.set("TESTER_CLOUD_DB_PASSWORD", "adminpass");
    let before = nodes.state(1);
    let mut session = nodes.log_in(1).unwrap();
    for method in ["lock", "revoke"] {
        nodes
            .run(&["1", "--method", method, "--json"], "Y\n")
            .assert_status(1)
            .assert_kinds(&["reaches_replicas", "cannot_end_sessions"])
            .assert_says("(error 1406)");
        assert_eq!(nodes.state(1), before);
    }
    session.write().unwrap();
    // One that the admin may not call is none.
    root.query_drop(format!(
        "REVOKE EXECUTE ON mysql.* FROM `role_rds{}`",
        nodes.user
    ))
    .unwrap();
    nodes
        .run(&["1", "--method", "lock", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["cannot_end_sessions"])
        .assert_says("set CLOUD_DB_PASSWORD");
    // Nor is an account that cannot log in.
    nodes.set("CLOUD_DB_PASSWORD", "wrong");
    for more in [&[][..], &["--dry-run"]] {
        nodes
            .run(
                &[&["1", "--method", "lock", "--json"], more].concat(),
                "Y\n",
            )
            .assert_status(1)
            .assert_kinds(&["cannot_end_sessions"])
            .assert_says("check CLOUD_DB_PASSWORD, or leave them open with --keep-sessions");
    }
    assert_eq!(nodes.state(1), before);
}

#[test]
fn rights_on_everything_are_taken_away_on_one_database_and_given_back_exactly() {
    for (admin_ends, kinds) in [
        (false, &["ends_other_sessions", "reaches_replicas"][..]),
        (true, &["ends_other_sessions"]),
    ] {
        let mut nodes = AIVEN.nodes();
        nodes.move_to(2, partial());
        let (account, second) = (nodes.account(), quoted(&nodes.databases[1]));
        nodes
            .admin(2)
            .query_drop(format!("REVOKE ALL ON {second}.* FROM {account}"))
            .unwrap();
        AIVEN.run(&nodes, AIVEN.console);
        if admin_ends {
            nodes.set("TESTER_CLOUD_DB_USER", "tester");
            nodes.set("TESTER_CLOUD_DB_PASSWORD", "testpass");
        } else {
            know_the_password(&mut nodes);
        }
        let (before, database) = (nodes.states(), quoted(&nodes.databases[0]));
        let insert = format!("INSERT INTO {database}.t VALUES ()");
        let log_in = || login(nodes.port(1), &nodes.user, "rootpass", None).unwrap();
        // A session keeps the global rights that it had when it began, whatever database it uses.
        let mut open = [log_in(), log_in(), nodes.log_in(1).unwrap().conn];
        let dry = nodes.run(&["1", "--dry-run"], "");
        dry.assert_status(0);
        assert!(dry.out.contains("3 sessions would end"), "{}", dry.out);
        let mut program = nodes.fail(&["1", "--json"]);
        for session in &mut open {
            assert!(session.query_drop(&insert).is_err());
        }
        nodes.assert_offline(1);
        nodes.assert_online(2);
        assert!(log_in().query_drop(&insert).is_err());
        // One that came later is none of those.
        let mut later = nodes.log_in(2).unwrap();
        thread::park_timeout(Duration::from_millis(2500));
        later.write().unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_kinds(kinds)
            .assert_says(&online(1))
            .assert_says("3 sessions ended");
        assert_eq!(nodes.states(), before);

        // Killed, and brought back by hand before: the same statement again would make a grant that
        // there was not.
        let mut program = nodes.fail(&["1"]);
        program.kill();
        let back = nodes.events(1)[0].clone();
        let grant = back
            .lines()
            .find(|line| line.starts_with("GRANT "))
            .unwrap();
        nodes
            .admin(1)
            .query_drop(format!("SET sql_log_bin = 0; {grant}"))
            .unwrap();
        nodes.run(&["recover", "1"], "").assert_status(0);
        assert_eq!(nodes.states(), before);

        // Both at once, and clients in the middle of their login.
        let mut program = nodes.fail(&["1", "2"]);
        nodes.assert_offline(1);
        nodes.assert_offline(2);
        program.answer("Y\n");
        program.end().assert_status(0);
        assert_eq!(nodes.states(), before);
        nodes.assert_online(1);
        let clients = (1..=10).map(|step| {
            let mut client = Raw::connect(nodes.port(1));
            client.send_user(&nodes.user, &nodes.databases[0]);
            (client, Duration::from_millis(step * 200))
        });
        late_logins::none_writes(&nodes, &["1"], clients.collect());

        // What is held on the database beside that could not be told from it.
        let mut root = nodes.admin(1);
        root.query_drop(format!("GRANT SELECT ON {database}.* TO {account}"))
            .unwrap();
        let refused = nodes.run(&["1", "--json"], "Y\n");
        refused
            .assert_status(1)
            .assert_kinds(&["other_way_in"])
            .assert_says(": use --method lock, or revoke that");
    }
}

#[test]
fn behind_the_auth_proxy_of_cloud_sql_it_says_that_no_tls_is_right() {
    // It encrypts by itself, and what it listens on has no TLS: as a MariaDB without a certificate.
    let mut nodes = Nodes::cloud(Kind::MariaDb);
    nodes.set("CLOUD_DB_SSL_MODE", "");
    nodes
        .run(&["1", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["tls"])
        .assert_says("behind the Cloud SQL Auth Proxy CLOUD_DB_SSL_MODE=disabled is right");
    nodes.set("CLOUD_DB_SSL_MODE", "disabled");
    nodes.run(&["1"], "Y\n").assert_status(0);
}

#[test]
fn an_admin_logs_in_by_a_token_over_tls_alone_and_only_if_that_is_allowed() {
    let folder = certificates();
    let (key, certificate) = (
        folder.path().join("server.key"),
        folder.path().join("server.pem"),
    );
    let with_tls = Server::start_with_tokens(&[
        &format!("--ssl-key={}", key.display()),
        &format!("--ssl-cert={}", certificate.display()),
    ]);
    let without_tls = Server::start_with_tokens(&[]);
    for (server, has_tls) in [(&with_tls, true), (&without_tls, false)] {
        let mut nodes = Nodes::local(Kind::MariaDb);
        nodes.move_to(1, server);
        nodes
            .admin(1)
            .query_drop(
                "CREATE USER iam IDENTIFIED VIA pam; GRANT ALL PRIVILEGES ON *.* TO iam WITH GRANT OPTION",
            )
            .unwrap();
        let before = nodes.state(1);
        nodes.set("TESTER_LOCAL_DB_USER_NODE1", "iam");
        nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE1", "the token");
        let enable = "TESTER_LOCAL_DB_ENABLE_CLEARTEXT_PLUGIN_NODE1";
        let refused = |nodes: &Nodes| {
            let finished = nodes.run(&["1", "--json"], "Y\n");
            finished
                .assert_status(1)
                .assert_says("_ENABLE_CLEARTEXT_PLUGIN")
                .assert_says("=true allows that, over TLS only");
            finished.assert_kinds(&["clear_text"]);
            assert!(!finished.err.contains("the token"), "{}", finished.err);
        };
        refused(&nodes);
        nodes.set(enable, "true");
        if !has_tls {
            refused(&nodes);
            continue;
        }
        for args in [&["1"][..], &["1", "--method", "revoke"]] {
            nodes
                .run(args, "Y\n")
                .assert_status(0)
                .assert_line(&online(1));
            assert_eq!(nodes.state(1), before);
        }
        nodes.set("LOCAL_DB_SSL_MODE", "disabled");
        nodes
            .run(&["1", "--json"], "Y\n")
            .assert_status(2)
            .assert_kinds(&["configuration"])
            .assert_says("LOCAL_DB_SSL_MODE must not be disabled");
    }
}

#[test]
fn of_two_ways_back_at_once_the_second_gives_nothing_anew() {
    let mut nodes = AIVEN.nodes();
    AIVEN.run(&nodes, AIVEN.console);
    nodes.set("TESTER_CLOUD_DB_USER", "tester");
    nodes.set("TESTER_CLOUD_DB_PASSWORD", "testpass");
    let before = nodes.state(1);
    for _ in 0..40 {
        nodes.fail(&["1"]).kill();
        let both = [(); 2].map(|()| nodes.start(&["recover", "1"]));
        for mut recover in both {
            recover.end();
        }
        assert_eq!(nodes.state(1), before);
    }
}
