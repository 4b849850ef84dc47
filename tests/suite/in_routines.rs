//! Sessions that run a routine or a trigger with somebody else's rights: most lists show them as that
//! one's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, park_timeout};
use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Server, login, quoted, wait_until};

const PAUSE: Duration = Duration::from_millis(20);

/// Node 1 on a server of its own, with an account whose host is a name.
fn node(kind: Kind, options: &[&str]) -> (Server, Nodes) {
    let server = Server::start(kind, options);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    nodes
        .admin(1)
        .query_drop("CREATE USER keeper@localhost; GRANT ALL ON *.* TO keeper@localhost")
        .unwrap();
    (server, nodes)
}

/// Runs this again and again, as long as the server lets it, until it is to stop.
fn again(port: u16, user: &str, database: &str, statement: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        if let Ok(mut session) = login(port, user, "rootpass", Some(database)) {
            while !stop.load(Ordering::SeqCst) && session.query_drop(statement).is_ok() {}
        }
        park_timeout(PAUSE);
    }
}

/// How many rows there are at the beginning of an outage in which four clients run this again and
/// again, and how many a while later.
fn rows_in_an_outage(nodes: &Nodes, admin: &mut Conn, statement: &str, method: &str) -> [u64; 2] {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let database = &nodes.databases[0];
                again(nodes.port(1), &nodes.user, database, statement, &stop);
            });
        }
        rows_while_offline(nodes, admin, method, &stop)
    })
}

/// The same, of clients that run already, until they are to stop.
fn rows_while_offline(
    nodes: &Nodes,
    admin: &mut Conn,
    method: &str,
    stop: &AtomicBool,
) -> [u64; 2] {
    park_timeout(PAUSE * 10);
    let mut program = nodes.fail(&["1", "--method", method]);
    let count = "SELECT COUNT(*) FROM t";
    let mut rows = || admin.query_first::<u64, _>(count).unwrap().unwrap();
    let at_first = rows();
    park_timeout(PAUSE * 60);
    let later = rows();
    stop.store(true, Ordering::SeqCst);
    program.answer("Y\n");
    program.end().assert_status(0);
    [at_first, later]
}

#[test_case(Kind::MySql, &[]; "on_mysql")]
#[test_case(Kind::MySql, &["--performance-schema=OFF"]; "on_mysql_without_its_performance_schema")]
#[test_case(Kind::MariaDb, &[]; "on_mariadb")]
#[test_case(Kind::MariaDb, &["--performance-schema=ON"]; "on_mariadb_with_a_performance_schema")]
fn none_writes_on_in_somebodys_routine(kind: Kind, options: &[&str]) {
    let (_server, nodes) = node(kind, options);
    let database = nodes.databases[0].clone();
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!("USE {}", quoted(&database)))
        .unwrap();
    let mut definers = vec!["tester@`%`", "keeper@localhost"];
    if kind == Kind::MariaDb {
        // It is shown with no host at all.
        admin
            .query_drop("CREATE ROLE keepers; GRANT ALL ON *.* TO keepers")
            .unwrap();
        definers.push("keepers");
    }
    for definer in definers {
        admin
            .query_drop(format!(
                "DROP PROCEDURE IF EXISTS book; \
                 CREATE DEFINER = {definer} PROCEDURE book() BEGIN INSERT INTO t VALUES (); DO SLEEP(0.05); END"
            ))
            .unwrap();
        for method in ["lock", "revoke"] {
            let what = format!("{definer}, {method}");
            let before = nodes.state(1);
            let [at_first, later] = rows_in_an_outage(&nodes, &mut admin, "CALL book()", method);
            assert_eq!(later, at_first, "{what}");
            assert_eq!(nodes.state(1), before, "{what}");
        }
    }
}

/// On its return MySQL gives the session its definer's rights on the session's default database.
#[test_case(Kind::MySql, &["--log-bin-trust-function-creators=ON"]; "on_mysql")]
#[test_case(Kind::MySql, &["--performance-schema-instrument=statement/sql/call_procedure=OFF", "--log-bin-trust-function-creators=ON"]; "on_mysql_that_does_not_show_it")]
#[test_case(Kind::MySql, &["--performance-schema=OFF", "--log-bin-trust-function-creators=ON"]; "on_mysql_without_its_performance_schema")]
#[test_case(Kind::MariaDb, &[]; "on_mariadb")]
fn none_writes_on_once_it_is_back_from_a_routine_of_another_database(kind: Kind, options: &[&str]) {
    let (_server, nodes) = node(kind, options);
    let database = quoted(&nodes.databases[0]);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE DATABASE other; GRANT ALL ON other.* TO {account}; USE other; CREATE TABLE c (id INT); \
             CREATE PROCEDURE waits() DO SLEEP(0.1); \
             CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN SLEEP(0.1); \
             CREATE TRIGGER waits BEFORE INSERT ON c FOR EACH ROW DO SLEEP(0.1); \
             USE {database}; CREATE PROCEDURE outer_one() SQL SECURITY INVOKER \
             BEGIN CALL other.waits(); INSERT INTO t VALUES (); END",
            account = nodes.account()
        ))
        .unwrap();
    for statement in [
        "CALL other.waits()",
        "DO other.f()",
        "INSERT INTO other.c VALUES (1)",
        &format!("USE other; CALL {database}.outer_one(); USE {database}"),
    ] {
        let statement = format!("{statement}; INSERT INTO t VALUES ()");
        let [at_first, later] = rows_in_an_outage(&nodes, &mut admin, &statement, "revoke");
        assert_eq!(later, at_first, "{statement}");
    }
}

/// MySQL does not show what a routine runs that is no statement of its own, such as a `SET`.
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn none_writes_on_in_a_routine_of_the_node_that_calls_another_databases(kind: Kind) {
    let (_server, nodes) = node(kind, &["--log-bin-trust-function-creators=ON"]);
    let database = quoted(&nodes.databases[0]);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE DATABASE other; GRANT ALL ON other.* TO {account}; \
             CREATE FUNCTION other.price() RETURNS INT DETERMINISTIC RETURN SLEEP(0.1); \
             USE {database}; CREATE PROCEDURE book() SQL SECURITY INVOKER \
             BEGIN DECLARE price INT; SET price = other.price(); INSERT INTO t VALUES (); END; \
             CREATE PROCEDURE books() SQL SECURITY INVOKER \
             BEGIN IF other.price() = 0 THEN INSERT INTO t VALUES (); END IF; END",
            account = nodes.account()
        ))
        .unwrap();
    for routine in ["book", "books"] {
        let statement = format!("USE other; CALL {database}.{routine}(); USE {database}");
        let [at_first, later] = rows_in_an_outage(&nodes, &mut admin, &statement, "revoke");
        assert!(at_first > 0, "{routine}");
        assert_eq!(later, at_first, "{routine}");
    }
}

/// What was shown last stays there when nothing more is shown.
#[test_case("events_statements_current")]
#[test_case("thread_instrumentation")]
fn none_writes_on_where_statements_are_no_longer_shown(consumer: &str) {
    let (_server, nodes) = node(Kind::MySql, &[]);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE DATABASE other; GRANT ALL ON other.* TO {}; CREATE PROCEDURE other.waits() DO SLEEP(0.1); USE {}",
            nodes.account(),
            quoted(&nodes.databases[0])
        ))
        .unwrap();
    let mut open: Vec<_> = (0..4).map(|_| nodes.log_in(1).unwrap()).collect();
    for session in &mut open {
        session.conn.query_drop("CALL other.waits()").unwrap();
    }
    let hide = format!(
        "UPDATE performance_schema.setup_consumers SET ENABLED = 'NO' WHERE NAME = '{consumer}'"
    );
    admin.query_drop(hide).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for session in &mut open {
            scope.spawn(|| {
                let both = "CALL other.waits(); INSERT INTO t VALUES ()";
                while !stop.load(Ordering::SeqCst) && session.conn.query_drop(both).is_ok() {
                    thread::yield_now();
                }
            });
        }
        let [at_first, later] = rows_while_offline(&nodes, &mut admin, "revoke", &stop);
        assert_eq!(later, at_first);
    });
}

/// To a function that runs with its caller's rights, in a view that runs with its definer's, that one
/// is the caller.
#[test_case(Kind::MySql, &["--performance-schema=OFF", "--log-bin-trust-function-creators=ON"]; "on_mysql_without_its_performance_schema")]
#[test_case(Kind::MariaDb, &[]; "on_mariadb")]
fn none_writes_on_in_a_trigger_or_a_view_whatever_the_admin_sees(kind: Kind, options: &[&str]) {
    let (_server, mut nodes) = node(kind, options);
    let database = nodes.databases[0].clone();
    let mut admin = nodes.admin(1);
    let may = match kind {
        Kind::MySql => "CONNECTION_ADMIN, SESSION_VARIABLES_ADMIN",
        Kind::MariaDb => "CONNECTION ADMIN, BINLOG ADMIN, READ_ONLY ADMIN",
    };
    admin
        .query_drop(format!(
            "CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT ON mysql.* TO low; GRANT EVENT ON {name}.* TO low; \
             GRANT PROCESS, SHOW DATABASES, CREATE USER, {may} ON *.* TO low; USE {name}; \
             CREATE TABLE c (id INT); CREATE TABLE hundred (id INT); INSERT INTO hundred VALUES (0){rows}; \
             CREATE FUNCTION f(i INT) RETURNS INT NOT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER \
             BEGIN INSERT INTO t VALUES (); DO SLEEP(0.05); RETURN i; END; \
             CREATE DEFINER = keeper@localhost TRIGGER writes BEFORE INSERT ON c \
             FOR EACH ROW BEGIN INSERT INTO t VALUES (); DO SLEEP(0.05); END; \
             CREATE USER viewer@localhost; GRANT ALL ON *.* TO viewer@localhost; \
             CREATE DEFINER = viewer@localhost VIEW v AS SELECT f(id) AS i FROM hundred",
            name = quoted(&database),
            rows = ", (0)".repeat(99)
        ))
        .unwrap();
    // What a statement that goes on has written so far is of no transaction that is through.
    admin
        .query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .unwrap();
    for admins_name in ["tester", "low"] {
        if admins_name == "low" {
            nodes.set("TESTER_LOCAL_DB_USER", "low");
            nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
        }
        for statement in ["INSERT INTO c SELECT 0 FROM hundred", "SELECT * FROM v"] {
            let what = format!("{admins_name}, {statement}");
            let [at_first, later] = rows_in_an_outage(&nodes, &mut admin, statement, "lock");
            assert!(later <= at_first, "{what}: {at_first}, then {later}");
        }
    }
}

#[test_case(Kind::MySql, &[]; "on_mysql")]
#[test_case(Kind::MySql, &["--performance-schema=OFF"]; "on_mysql_without_its_performance_schema")]
#[test_case(Kind::MariaDb, &[]; "on_mariadb")]
#[test_case(Kind::MariaDb, &["--performance-schema=ON"]; "on_mariadb_with_a_performance_schema")]
fn others_in_the_accounts_routine_go_on(kind: Kind, options: &[&str]) {
    let (_server, nodes) = node(kind, options);
    let database = &nodes.databases[0];
    // A row whose host is where its clients come from is shown as they are.
    let near = format!("{}@localhost", quoted(&nodes.user));
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "USE {database}; CREATE USER {near} IDENTIFIED BY 'rootpass'; GRANT ALL ON {database}.* TO {near}; \
             CREATE USER other IDENTIFIED BY 'rootpass'; GRANT ALL ON *.* TO other",
            database = quoted(database),
        ))
        .unwrap();
    for definer in [nodes.account(), near] {
        admin
            .query_drop(format!(
                "DROP PROCEDURE IF EXISTS wait; CREATE DEFINER = {definer} PROCEDURE wait() DO SLEEP(0.02)"
            ))
            .unwrap();
        let mut other = login(nodes.port(1), "other", "rootpass", Some(database)).unwrap();
        let (stop, nodes) = (AtomicBool::new(false), &nodes);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    other.query_drop("CALL wait()").unwrap();
                    park_timeout(PAUSE / 4);
                }
            });
            park_timeout(PAUSE);
            let finished = nodes.run(&["1", "--json", "--for", "3s"], "");
            stop.store(true, Ordering::SeqCst);
            waits.join().unwrap();
            let kinds = finished.assert_status(0).kinds();
            assert!(!kinds.contains(&"got_in".to_owned()), "{}", finished.err);
            assert_eq!(finished.events()[0]["sessions_ended"], 0, "{definer}");
        });
    }
}

/// MariaDB shows a thread that replicates as the definer of a trigger that it is in.
#[test]
fn replication_goes_on_in_somebodys_trigger() {
    let options = ["--log-bin=binlog", "--binlog-format=STATEMENT"];
    let with_id = |id: &'static str| [&options[..], &[id]].concat();
    let source = Server::start(Kind::MariaDb, &with_id("--server-id=1"));
    let (_replica, nodes) = node(Kind::MariaDb, &with_id("--server-id=2"));
    let mut upstream = login(source.port, "tester", "testpass", None).unwrap();
    upstream.query_drop("RESET MASTER").unwrap();
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!("RESET MASTER; {}", source.followed_by_mariadb()))
        .unwrap();
    for definer in ["tester@`%`", "keeper@localhost", &nodes.account()] {
        upstream
            .query_drop("CREATE DATABASE other; CREATE TABLE other.t (id INT)")
            .unwrap();
        wait_until("it is replicated", || {
            admin.query_drop("SELECT 1 FROM other.t").ok()
        });
        // On the replica alone, so that the source does not wait.
        admin
            .query_drop(format!(
                "SET SESSION sql_log_bin = 0; GRANT ALL ON other.* TO {}; \
                 CREATE DEFINER = {definer} TRIGGER other.waits BEFORE INSERT ON other.t FOR EACH ROW DO SLEEP(2)",
                nodes.account()
            ))
            .unwrap();
        upstream
            .query_drop("INSERT INTO other.t VALUES (1)")
            .unwrap();
        park_timeout(PAUSE * 10);
        let finished = nodes.run(&["1", "--json", "--for", "1s"], "");
        finished.assert_status(0);
        wait_until("the row has come", || {
            let running = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Slave_running'";
            let runs: Option<String> = admin.query_first(running).unwrap();
            assert_eq!(runs.as_deref(), Some("ON"), "{definer}");
            admin
                .query_first::<u8, _>("SELECT id FROM other.t")
                .unwrap()
        });
        upstream.query_drop("DROP DATABASE other").unwrap();
        wait_until("it is gone", || {
            admin.query_drop("USE other").is_err().then_some(())
        });
    }
}

/// Without a port behind it, its last part may be taken for one.
#[test]
fn none_writes_on_in_a_routine_of_who_has_an_ipv6_address() {
    let (server, nodes) = node(Kind::MariaDb, &[]);
    let database = &nodes.databases[0];
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE USER six@'::1'; GRANT ALL ON *.* TO six@'::1'; USE {}; \
             CREATE DEFINER = six@'::1' PROCEDURE book() BEGIN DO SLEEP(1.5); INSERT INTO t VALUES (); END",
            quoted(database)
        ))
        .unwrap();
    let by_socket = mysql::OptsBuilder::new()
        .socket(Some(server.socket().display().to_string()))
        .user(Some(&nodes.user))
        .pass(Some("rootpass"))
        .db_name(Some(database));
    let mut session = Conn::new(by_socket).unwrap();
    thread::scope(|scope| {
        let calls = scope.spawn(|| session.query_drop("CALL book()"));
        park_timeout(PAUSE * 10);
        let finished = nodes.run(&["1", "--json", "--for", "2s"], "");
        assert_eq!(finished.assert_status(0).events()[0]["sessions_ended"], 1);
        assert!(calls.join().unwrap().is_err());
    });
}
