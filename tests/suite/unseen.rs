//! Every session is found, whatever the server's settings do to its lists.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mysql::ChangeUserOpts;
use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Finished, Kind, Nodes, Program, Server, Session, faults_library, login, wait_until,
};
use crate::proxy::Proxy;
use crate::raw::XSession;

/// Opens sessions on node 1, fails it in both ways, and counts those that still write.
fn all_end(nodes: &mut Nodes, what: &str) {
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        let before = nodes.state(1);
        let mut open: Vec<Session> = (0..20).map(|_| nodes.log_in(1).unwrap()).collect();
        let mut program = nodes.fail(args);
        let writing = open
            .iter_mut()
            .filter_map(|session| session.write().ok())
            .count();
        assert_eq!(writing, 0, "of 20 sessions, {what}, {args:?}");
        nodes.assert_offline(1);
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0);
        assert!(
            finished.out.contains("20 sessions ended"),
            "{what}: {}",
            finished.out
        );
        assert_eq!(nodes.state(1), before);
    }
}

/// One that has selected no database, and has something of the node's in an open transaction.
fn elsewhere(nodes: &Nodes) -> Session {
    let mut session = nodes.log_in(1).unwrap();
    session.conn = login(nodes.port(1), &nodes.user, "rootpass", None).unwrap();
    session.conn.query_drop("BEGIN").unwrap();
    session.write().unwrap();
    session
}

/// Fails node 1 by revoke under such transactions: none may be committed, and an idle session goes
/// on.
fn no_transaction_is_committed(nodes: &Nodes, what: &str) -> Finished {
    let count = format!("SELECT COUNT(*) FROM `{}`.t", nodes.databases[0]);
    let rows = || {
        nodes
            .admin(1)
            .query_first::<u64, _>(&count)
            .unwrap()
            .unwrap()
    };
    let before = rows();
    let mut open: Vec<Session> = (0..3).map(|_| elsewhere(nodes)).collect();
    let mut idle = login(nodes.port(1), &nodes.user, "rootpass", None).unwrap();
    idle.query_drop("DO 1").unwrap();
    let mut program = nodes.fail(&["1", "--method", "revoke"]);
    for session in &mut open {
        assert!(session.conn.query_drop("COMMIT").is_err(), "{what}");
    }
    assert_eq!(rows(), before, "{what}");
    idle.query_drop("DO 1").unwrap();
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0);
    assert!(
        finished.out.contains("3 sessions ended"),
        "{what}: {}",
        finished.out
    );
    finished
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_admins_session_inherits_nothing_that_changes_its_answers(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=ON"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let time_limit = match kind {
        Kind::MySql => ("max_execution_time", "1"),
        Kind::MariaDb => ("max_statement_time", "0.001"),
    };
    let read_only = match kind {
        Kind::MySql => "transaction_read_only",
        Kind::MariaDb => "tx_read_only",
    };
    let settings = [
        ("sql_select_limit", "1"),
        ("max_join_size", "1"),
        (read_only, "ON"),
        ("autocommit", "0"),
        ("completion_type", "'RELEASE'"),
        (
            "sql_mode",
            "'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        ),
        ("time_zone", "'-11:00'"),
        ("character_set_server", "latin1"),
        ("lock_wait_timeout", "1"),
        ("sql_quote_show_create", "0"),
        time_limit,
    ];
    for (name, value) in settings {
        // One that such a setting does not slow down.
        let mut root = login(nodes.port(1), "tester", "testpass", None).unwrap();
        let before: String = root
            .query_first(format!("SELECT @@global.{name}"))
            .unwrap()
            .unwrap();
        if name == "sql_mode" && kind == Kind::MariaDb {
            continue; // PAD_CHAR_TO_FULL_LENGTH does to MariaDB's own system tables what nobody wants.
        }
        // Sessions are opened before it, since it may be in their own way.
        let mut open: Vec<Session> = (0..20).map(|_| nodes.log_in(1).unwrap()).collect();
        for args in [
            &["1", "--for", "1m"][..],
            &["1", "--for", "1m", "--method", "revoke"],
        ] {
            root.query_drop(format!("SET GLOBAL {name} = {value}"))
                .unwrap();
            let mut program = nodes.start(args);
            program.wait_for("IS NOW OFFLINE");
            let writing = open
                .iter_mut()
                .filter_map(|session| session.write().ok())
                .count();
            assert_eq!(writing, 0, "of 20 sessions, {name}");
            program.signal("INT");
            program.end().assert_status(130);
            root.query_drop(format!("SET GLOBAL {name} = '{before}'"))
                .or_else(|_| root.query_drop(format!("SET GLOBAL {name} = {before}")))
                .unwrap();
            nodes.assert_online(1);
            open = (0..20).map(|_| nodes.log_in(1).unwrap()).collect();
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_with_any_name_is_found_whatever_the_servers_character_set(kind: Kind) {
    for options in [
        &["--character-set-server=latin1"][..],
        &[
            "--character-set-server=latin1",
            "--skip-character-set-client-handshake",
        ],
        &[
            "--character-set-server=utf16",
            "--skip-character-set-client-handshake",
        ],
        &[
            "--character-set-server=gbk",
            "--skip-character-set-client-handshake",
        ],
    ] {
        // MySQL has no such option any more.
        let options = if kind == Kind::MySql {
            &options[..1]
        } else {
            options
        };
        let server = Server::start(kind, options);
        let mut nodes = Nodes::local(kind);
        nodes.move_to(1, &server);
        let name = "üser日";
        let database = nodes.databases[0].clone();
        let mut admin = nodes.admin(1);
        admin.query_drop("SET NAMES utf8mb4").unwrap();
        admin.query_drop(format!("CREATE USER `{name}` IDENTIFIED BY 'rootpass'; GRANT ALL ON `{database}`.* TO `{name}`")).unwrap();
        nodes.set("LOCAL_DB_USER", name);
        let locked = match kind {
            Kind::MySql => {
                format!("SELECT account_locked = 'Y' FROM mysql.user WHERE User = '{name}'")
            }
            Kind::MariaDb => format!(
                "SELECT JSON_VALUE(Priv, '$.account_locked') = 1 FROM mysql.global_priv WHERE User = '{name}'"
            ),
        };
        let mut program = nodes.fail(&["1"]);
        assert_eq!(
            admin.query_first(&locked).unwrap(),
            Some(true),
            "{options:?}"
        );
        program.answer("Y\n");
        program.end().assert_status(0);
        assert_ne!(
            admin
                .query_first::<Option<bool>, _>(&locked)
                .unwrap()
                .flatten(),
            Some(true),
            "{options:?}"
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn no_open_transaction_is_committed_on_a_revoked_node(kind: Kind) {
    let nodes = Nodes::local(kind);
    let finished = no_transaction_is_committed(&nodes, "as it comes");
    assert_eq!(finished.err, "");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_statement_that_is_under_way_is_not_committed_on_a_revoked_node(kind: Kind) {
    let nodes = Nodes::local(kind);
    let count = format!("SELECT COUNT(*) FROM `{}`.t", nodes.databases[0]);
    let mut session = login(nodes.port(1), &nodes.user, "rootpass", None).unwrap();
    // Its rights have been looked at, and its transaction has not begun yet.
    let insert = format!(
        "INSERT INTO `{}`.t VALUES (SLEEP(4) + 1000)",
        nodes.databases[0]
    );
    let writing = std::thread::spawn(move || session.query_drop(insert));
    wait_until("it is under way", || {
        let under_way =
            "SELECT 1 FROM information_schema.processlist WHERE INFO LIKE 'INSERT%SLEEP(4)%'";
        nodes.admin(1).query_first::<u8, _>(under_way).unwrap()
    });
    let mut program = nodes.fail(&["1", "--method", "revoke"]);
    // A statement that is ended in its sleep may write before its session is gone, which is before
    // OFFLINE.
    let rows: Option<u64> = nodes.admin(1).query_first(&count).unwrap();
    assert!(writing.join().unwrap().is_err());
    assert_eq!(nodes.admin(1).query_first(&count).unwrap(), rows);
    program.answer("Y\n");
    program.end().assert_status(0);
}

/// By `HANDLER` a session reads on, whatever is revoked, and no transaction shows that it does.
#[test_case(Kind::MySql, true; "on_mysql_which_shows_who_uses_a_table")]
#[test_case(Kind::MySql, false; "on_mysql_which_does_not")]
#[test_case(Kind::MariaDb, false; "on_mariadb")]
fn no_session_reads_on_by_handler_on_a_revoked_node(kind: Kind, shows_who: bool) {
    let option = format!("--performance-schema={}", u8::from(shows_who));
    let server = Server::start(kind, &[&option]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let table = format!("`{}`.t", nodes.databases[0]);
    let account = || login(nodes.port(1), &nodes.user, "rootpass", None).unwrap();
    let (mut reading, mut idle) = (account(), account());
    for is_reading in [true, false] {
        if is_reading {
            reading
                .query_drop(format!("HANDLER {table} OPEN AS h"))
                .unwrap();
        }
        idle.query_drop("DO 1").unwrap();
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        if is_reading {
            assert!(reading.query_drop("HANDLER h READ FIRST").is_err());
        }
        // Who keeps the table open is known, or it may be any of the account's.
        let goes_on = shows_who || !is_reading;
        assert_eq!(idle.query_drop("DO 1").is_ok(), goes_on);
        program.answer("Y\n");
        program.end().assert_status(0);
        idle = account();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn open_transactions_are_found_while_others_read_their_list(kind: Kind) {
    // For a tenth of a second after anybody has read it, it shows what it showed.
    let server = Server::start(kind, &["--performance-schema=OFF"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let mut reader = nodes.admin(1);
    for _ in 0..10 {
        let count = format!("SELECT COUNT(*) FROM `{}`.t", nodes.databases[0]);
        let rows: Option<u64> = reader.query_first(&count).unwrap();
        reader
            .query_drop("SELECT * FROM information_schema.INNODB_TRX")
            .unwrap();
        let mut session = elsewhere(&nodes);
        let mut program = nodes.start(&["1", "--method", "revoke"]);
        while !program.printed().contains("OFFLINE") {
            reader
                .query_drop("SELECT * FROM information_schema.INNODB_TRX")
                .unwrap();
            std::thread::park_timeout(std::time::Duration::from_millis(150));
        }
        assert!(session.conn.query_drop("COMMIT").is_err());
        assert_eq!(reader.query_first::<u64, _>(&count).unwrap(), rows);
        program.answer("Y\n");
        program.end().assert_status(0);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_whose_connections_are_all_in_use_can_be_failed(kind: Kind) {
    let server = Server::start(kind, &["--max-connections=12"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    for _ in 0..10 {
        // As many as there is room for; the server may not have noticed yet that earlier ones are
        // gone.
        let mut open = Vec::new();
        wait_until("it is full", || match nodes.log_in(1) {
            Ok(session) => {
                open.push(session);
                None
            }
            Err(_) => (open.len() >= 12).then_some(()),
        });
        let mut program = nodes.fail(&["1"]);
        assert!(open.iter_mut().all(|session| session.write().is_err()));
        program.answer("Y\n");
        program.end().assert_status(0);
    }
}

#[test]
fn mysqls_lists_are_taken_for_what_they_are_worth() {
    for options in [
        // No session, some sessions, no locks, some locks are shown.
        &["--performance-schema-max-thread-classes=0"][..],
        &["--performance-schema-max-thread-instances=30"],
        &["--performance-schema-max-metadata-locks=0"],
        &["--performance-schema-max-metadata-locks=20"],
        &["--performance-schema-instrument=wait/lock/metadata/%=OFF"],
        &["--performance-schema-consumer-global-instrumentation=OFF"],
        &["--performance-schema=OFF"],
    ] {
        let server = Server::start(Kind::MySql, options);
        let mut nodes = Nodes::local(Kind::MySql);
        nodes.move_to(1, &server);
        all_end(&mut nodes, options[0]);
        no_transaction_is_committed(&nodes, options[0]);
    }
}

#[test]
fn a_mysql_without_the_newer_process_list_is_failed_by_the_older() {
    // Before 8.0.22 there is no performance_schema.processlist.
    let mut nodes = Nodes::local(Kind::MySql);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite(
        "performance_schema.processlist",
        "performance_schema.no_such_tbl",
    );
    all_end(&mut nodes, "without it");
    no_transaction_is_committed(&nodes, "without it");
    proxy.assert_has_rewritten();
}

#[test]
fn a_mariadb_whose_proxy_greets_as_mysql_is_failed_as_what_it_is() {
    let mut nodes = Nodes::local(Kind::MariaDb);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite_answers("5.5.5-", "8.4.5-", 0);
    let greeted = login(proxy.port, "tester", "testpass", None).unwrap();
    assert_eq!(greeted.server_version(), (8, 4, 5));
    all_end(&mut nodes, "greeted as MySQL");
    no_transaction_is_committed(&nodes, "greeted as MySQL");
}

#[test_case(Kind::MySql, "@@GLOBAL.server_uuid", "@@GLOBAL.no_such_uid"; "on_mysql")]
#[test_case(Kind::MariaDb, "@@GLOBAL.server_uid", "@@GLOBAL.no_such_id"; "on_mariadb")]
fn a_server_that_lacks_a_variable_is_failed(kind: Kind, variable: &str, none: &str) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite(variable, none);
    all_end(&mut nodes, variable);
    no_transaction_is_committed(&nodes, variable);
    proxy.assert_has_rewritten();
}

#[test]
fn a_mysql_that_does_not_count_who_is_turned_away_is_failed() {
    let mut nodes = Nodes::local(Kind::MySql);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite("summary_by_user_by_error", "summary_by_user_no_error");
    all_end(&mut nodes, "not counted");
    let finished = nodes.run(&["1", "--json"], "Y\n");
    finished.assert_status(0).assert_kinds(&[]);
    assert!(finished.events()[1]["turned_away"].is_null());
    let server = Server::start(Kind::MySql, &["--performance-schema=OFF"]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let finished = nodes.run(&["1", "--json", "--for", "100ms"], "");
    assert!(finished.assert_status(0).events()[1]["turned_away"].is_null());
    proxy.assert_has_rewritten();
}

#[test]
fn a_mysql_that_is_made_for_galera_is_asked_whether_it_is_in_a_cluster() {
    let mut nodes = Nodes::local(Kind::MySql);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite("= 'wsrep_ready'", "= 'Connections'");
    // A name and a value, each after its length.
    proxy.rewrite_answers("\u{7}log_bin\u{2}ON", "\u{8}wsrep_on\u{1}1", 0);
    nodes
        .run(&["1", "--json"], "")
        .assert_status(1)
        .assert_kinds(&["would_reach_cluster"]);
    proxy.assert_has_rewritten();
}

/// A server with the X Protocol, and node 1 on it.
fn with_x_protocol() -> (Server, Nodes) {
    let server = Server::start(
        Kind::MySql,
        &[
            "--mysqlx=ON",
            "--mysqlx-bind-address=127.0.0.1",
            "--mysqlx-port=0",
        ],
    );
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    (server, nodes)
}

/// Fails node 1 under such sessions, all of which must end. The first has run something.
fn all_of_the_x_protocol_end(server: &Server, nodes: &Nodes, args: &[&str], database: &str) {
    let log_in = || XSession::log_in(&server.x_socket(), &nodes.user, "rootpass", database);
    let insert = format!("INSERT INTO `{}`.t VALUES ()", nodes.databases[0]);
    let mut open: Vec<XSession> = (0..4).map(|_| log_in().unwrap()).collect();
    assert!(open[0].query(&insert).unwrap());
    let mut program = nodes.fail(args);
    let writing = open
        .iter_mut()
        .filter_map(|session| session.query(&insert).unwrap_or(false).then_some(()));
    assert_eq!(writing.count(), 0, "of 4 sessions, {args:?}");
    assert!(log_in().is_none());
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0);
    assert!(
        finished.out.contains("4 sessions ended"),
        "{}",
        finished.out
    );
    assert!(log_in().unwrap().query(&insert).unwrap());
}

#[test]
fn sessions_of_the_x_protocol_end() {
    let (server, nodes) = with_x_protocol();
    for _ in 0..3 {
        all_of_the_x_protocol_end(&server, &nodes, &["1"], "");
        let revoke = ["1", "--method", "revoke"];
        all_of_the_x_protocol_end(&server, &nodes, &revoke, &nodes.databases[0]);
    }
}

#[test]
fn sessions_of_the_x_protocol_end_while_others_change_their_user() {
    let (server, nodes) = with_x_protocol();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = nodes.admin(1);
                while !stop.load(Ordering::SeqCst) {
                    // By the lock it may be ended in the middle.
                    if conn.change_user(ChangeUserOpts::default()).is_err() {
                        conn = nodes.admin(1);
                    }
                }
            });
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            // On a busy machine no list shows all of them for long.
            let args = ["1", "--timeout", "45s"];
            for _ in 0..10 {
                all_of_the_x_protocol_end(&server, &nodes, &args, "");
            }
        }));
        stop.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn a_list_that_lacks_sessions_is_none_though_its_count_of_them_was_reset() {
    let server = Server::start(
        Kind::MySql,
        &["--performance-schema-max-thread-instances=60"],
    );
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        let others: Vec<_> = (0..60).map(|_| nodes.admin(1)).collect();
        let mut open: Vec<Session> = (0..20).map(|_| nodes.log_in(1).unwrap()).collect();
        nodes.admin(1).query_drop("FLUSH STATUS").unwrap();
        drop(others);
        wait_until("there is room again", || {
            let count = "SELECT COUNT(*) < 25 FROM information_schema.processlist";
            let is_so: Option<bool> = nodes.admin(1).query_first(count).unwrap();
            is_so.filter(|is| *is)
        });
        let mut program = nodes.fail(args);
        let writing = open
            .iter_mut()
            .filter_map(|session| session.write().ok())
            .count();
        assert_eq!(writing, 0, "of 20 sessions, {args:?}");
        program.answer("Y\n");
        program.end().assert_status(0);
    }
}

#[test]
fn sessions_that_work_on_another_node_of_the_server_go_on() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    nodes.move_to(2, &server);
    let stop = AtomicBool::new(false);
    let mut idle = nodes.log_in(2).unwrap();
    idle.conn
        .query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .unwrap();
    std::thread::scope(|scope| {
        let busy: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = nodes.log_in(2).unwrap();
                    while !stop.load(Ordering::SeqCst) {
                        session.conn.query_drop("BEGIN")?;
                        session.write()?;
                        session.conn.query_drop("COMMIT")?;
                    }
                    Ok::<_, mysql::Error>(())
                })
            })
            .collect();
        for _ in 0..15 {
            let finished = nodes.run(&["1", "--method", "revoke"], "Y\n");
            assert_eq!(finished.status, 0, "{}", finished.err);
        }
        stop.store(true, Ordering::SeqCst);
        let ended = busy.into_iter().filter_map(|one| one.join().unwrap().err());
        assert_eq!(ended.count(), 0, "of 8 sessions");
    });
    idle.write().unwrap();
}

#[test]
fn names_of_other_nodes_that_do_not_resolve_cost_one_wait_together() {
    let mut nodes = Nodes::local(Kind::MySql);
    let port = nodes.port(1).to_string();
    for number in 4..=9 {
        nodes.set(
            &format!("LOCAL_DB_HOST_NODE{number}"),
            "no-such-host.invalid",
        );
        nodes.set(&format!("LOCAL_DB_PORT_NODE{number}"), &port);
    }
    let mut command = nodes.command(&["1", "--timeout", "3s"]);
    command.env("LD_PRELOAD", faults_library());
    let began = Instant::now();
    let mut program = Program::start(&mut command);
    program.answer("Y\n");
    program.end().assert_status(0);
    assert!(began.elapsed().as_secs() < 9, "{:?}", began.elapsed());
}

/// Node 1 on a server of its own, with another database of the account, a row in each; and the node's
/// table.
fn beside_another_database() -> (Server, Nodes, String) {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let table = format!("`{}`.t", nodes.databases[0]);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE DATABASE other_db; CREATE TABLE other_db.x (id INT); GRANT ALL ON other_db.* TO {}; \
             INSERT INTO other_db.x VALUES (1); INSERT INTO {table} VALUES ()",
            nodes.account()
        ))
        .unwrap();
    (server, nodes, table)
}

/// Somebody's long statement keeps `FLUSH TABLES` waiting, and that what comes later: not by a lock.
#[test]
fn a_statement_that_waits_for_a_flush_does_not_write_later() {
    let (_server, nodes, table) = beside_another_database();
    let mut admin = nodes.admin(1);
    let count = format!("SELECT COUNT(*) FROM {table}");
    let mut rows = || admin.query_first::<u64, _>(&count).unwrap().unwrap();
    let before = rows();
    let log_in = || login(nodes.port(1), &nodes.user, "rootpass", Some("other_db")).unwrap();
    let (mut waits, mut locks) = (log_in(), log_in());
    let [mut long, mut flushes] = [nodes.admin(1), nodes.admin(1)];
    let pause = || thread::park_timeout(Duration::from_millis(300));
    thread::scope(|scope| {
        scope.spawn(move || long.query_drop("SELECT SLEEP(4) FROM other_db.x"));
        pause();
        scope.spawn(move || flushes.query_drop("FLUSH TABLES"));
        pause();
        let insert = format!("INSERT INTO {table} SELECT NULL FROM x");
        let inserts = scope.spawn(move || waits.query_drop(insert));
        // One that waits for something else, which is named like the node.
        let lock = format!("DO GET_LOCK('{}', 4)", nodes.databases[0]);
        let mut held = nodes.admin(1);
        held.query_drop(&lock).unwrap();
        let locks = scope.spawn(move || locks.query_drop(lock));
        pause();
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        assert!(inserts.join().unwrap().is_err());
        held.query_drop("DO RELEASE_ALL_LOCKS()").unwrap();
        locks.join().unwrap().unwrap();
        assert_eq!(rows(), before);
        program.answer("Y\n");
        program.end().assert_status(0);
    });
}

#[test]
fn a_statement_that_waits_for_another_table_does_not_write_later() {
    let (_server, nodes, table) = beside_another_database();
    let mut admin = nodes.admin(1);
    let mut rows = || {
        let count = format!("SELECT COUNT(*) FROM {table}");
        admin.query_first::<u64, _>(count).unwrap().unwrap()
    };
    let before = rows();
    let mut holder = nodes.admin(1);
    holder.query_drop("LOCK TABLES other_db.x WRITE").unwrap();
    let log_in = || login(nodes.port(1), &nodes.user, "rootpass", Some("other_db")).unwrap();
    let (mut waits, mut goes_on) = (log_in(), log_in());
    // Its rights are checked, and the node's table comes second.
    let delete = format!("DELETE {table} FROM x, {table}");
    thread::scope(|scope| {
        let deletes = scope.spawn(move || waits.query_drop(delete));
        // For nothing of the node's.
        let other = scope.spawn(move || goes_on.query_drop("UPDATE x SET id = 2"));
        thread::park_timeout(Duration::from_millis(300));
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        holder.query_drop("UNLOCK TABLES").unwrap();
        assert!(deletes.join().unwrap().is_err());
        other.join().unwrap().unwrap();
        assert_eq!(rows(), before);
        program.answer("Y\n");
        program.end().assert_status(0);
    });
}
