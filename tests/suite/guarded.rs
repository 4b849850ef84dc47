//! The deadline of `--for` is kept on the server by a session that is left there, whatever becomes
//! of the program.

use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, Server, admin_without_events, drop_admin, login, offline, online, own_admin,
    quoted, wait_until,
};
use crate::proxy::Proxy;

/// How many sessions of this admin there are on node 1.
fn sessions(nodes: &Nodes, admin: &str) -> u64 {
    nodes
        .admin(1)
        .exec_first(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = ?",
            (admin,),
        )
        .unwrap()
        .unwrap()
}

/// Waits until the node is as before, which must be soon after the deadline.
fn comes_back_by_itself(nodes: &Nodes, before: &str) {
    let began = Instant::now();
    wait_until("it comes back by itself", || {
        (nodes.state(1) == before).then_some(())
    });
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn who_recovers_meanwhile_leaves_the_guard_of_a_node_that_is_about_to_go(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=OFF"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.state(1);
    // As a backup does it.
    let mut backup = nodes.admin(1);
    backup.query_drop("FLUSH TABLES WITH READ LOCK").unwrap();
    let mut program = nodes.start(&["1", "--for", "5s"]);
    wait_until("its guard is there", || {
        let guards = "SELECT 1 FROM information_schema.processlist WHERE INFO LIKE 'DO /* fail-start guards%'";
        nodes.admin(1).query_first::<u8, _>(guards).unwrap()
    });
    let finished = nodes.run(&["recover", "1"], "");
    finished
        .assert_status(3)
        .assert_says("is about to take it offline");
    let finished = nodes.run(&["recover"], "");
    finished
        .assert_status(0)
        .assert_says("is about to take it offline");
    backup.query_drop("UNLOCK TABLES").unwrap();
    program.wait_for(&offline(1));
    program.kill();
    comes_back_by_itself(&nodes, &before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_deadline_holds_with_and_without_an_event_scheduler(kind: Kind) {
    for scheduler in ["--event-scheduler=OFF", "--event-scheduler=ON"] {
        let server = Server::start(kind, &[scheduler]);
        for mut nodes in Nodes::in_both_environments(kind) {
            nodes.move_to(1, &server);
            let admin = own_admin(&mut nodes);
            let before = nodes.state(1);
            let mut program = nodes.start(&["1", "--for", "1s"]);
            program.wait_for(&offline(1));
            program.kill();
            nodes.assert_offline(1);
            comes_back_by_itself(&nodes, &before);
            wait_until("the guard is gone", || {
                (sessions(&nodes, &admin) == 0).then_some(())
            });
            assert_eq!(nodes.state(1), before);
            drop_admin(&nodes, &admin);
        }
    }
}

#[test_case(Kind::MySql, "SET GLOBAL transaction_read_only = 1"; "on_mysql")]
#[test_case(Kind::MariaDb, "SET GLOBAL tx_read_only = 1; SET GLOBAL sql_mode = 'ORACLE'"; "on_mariadb")]
fn a_guard_takes_over_no_setting_of_the_servers(kind: Kind, settings: &str) {
    let server = Server::start(kind, &["--event-scheduler=OFF"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let name = own_admin(&mut nodes);
    nodes.admin(1).query_drop(settings).unwrap();
    let before = nodes.state(1);
    for method in ["lock", "revoke"] {
        let mut program = nodes.start(&["1", "--method", method, "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        nodes.assert_offline(1);
        comes_back_by_itself(&nodes, &before);
    }
    if kind == Kind::MariaDb {
        // Nor does it make an account anew that somebody has dropped.
        let mut admin = nodes.admin(1);
        let mode = "SET GLOBAL tx_read_only = 0; SET GLOBAL sql_mode = ''";
        admin.query_drop(mode).unwrap();
        let mut program = nodes.start(&["1", "--method", "revoke", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        let mut admin = nodes.admin(1);
        let account = nodes.account();
        admin.query_drop(format!("DROP USER {account}")).unwrap();
        wait_until("the guard is gone", || {
            (sessions(&nodes, &name) == 0).then_some(())
        });
        let left = admin.query::<String, _>(format!("SHOW GRANTS FOR {account}"));
        assert!(left.is_err(), "{left:?}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_is_brought_back_has_no_guard_any_more(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let admin = own_admin(&mut nodes);
        let before = nodes.state(1);
        for by in ["interrupt", "deadline", "recover"] {
            let mut program =
                nodes.start(&["1", "--for", if by == "deadline" { "1s" } else { "10m" }]);
            program.wait_for(&offline(1));
            // The program's own, and the guard.
            assert_eq!(sessions(&nodes, &admin), 2);
            match by {
                "interrupt" => {
                    program.signal("INT");
                    program.end().assert_status(130);
                }
                "deadline" => drop(program.end().assert_status(0)),
                _ => {
                    program.kill();
                    nodes
                        .run(&["recover", "1"], "")
                        .assert_status(0)
                        .assert_line(&online(1));
                }
            }
            wait_until("no session is left", || {
                (sessions(&nodes, &admin) == 0).then_some(())
            });
            assert_eq!(nodes.state(1), before);
        }
        drop_admin(&nodes, &admin);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_guard_of_which_no_undo_tells_ends_with_the_outage_all_the_same(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let admin = admin_without_events(&mut nodes);
    let before = nodes.state(1);
    for is_opened_by_hand in [false, true] {
        let mut program = nodes.start(&["1", "--for", "10m"]);
        program.wait_for(&offline(1));
        program.kill();
        assert_eq!(sessions(&nodes, &admin), 1);
        if is_opened_by_hand {
            let unlock = format!("ALTER USER {} ACCOUNT UNLOCK", nodes.account());
            nodes.admin(1).query_drop(unlock).unwrap();
        }
        nodes.run(&["recover", "1"], "").assert_status(0);
        wait_until("no session is left", || {
            (sessions(&nodes, &admin) == 0).then_some(())
        });
        assert_eq!(nodes.state(1), before);
    }
    let drop = format!("DROP USER `{admin}`");
    nodes.admin(1).query_drop(drop).unwrap();
}

#[test]
fn a_deadline_holds_on_a_mysql_without_recursion() {
    // Before 8.0 there is none, and by default no event scheduler either.
    let server = Server::start(Kind::MySql, &["--event-scheduler=OFF"]);
    for mut nodes in Nodes::in_both_environments(Kind::MySql) {
        nodes.move_to(1, &server);
        let proxy = Proxy::to(server.port);
        proxy.rewrite("RECURSIVE", "NOT_KNOWN");
        proxy.rewrite("cte_max_recursion", "cte_max_not_known");
        let mode = format!("{}_DB_SSL_MODE", nodes.prefix());
        nodes.set(&mode, "disabled");
        nodes.reach_by(1, proxy.port);
        let before = nodes.state(1);
        let mut program = nodes.start(&["1", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        nodes.assert_offline(1);
        comes_back_by_itself(&nodes, &before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_guard_leaves_the_next_outage_alone(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=OFF"]);
    for mut nodes in Nodes::in_both_environments(kind) {
        nodes.move_to(1, &server);
        let admin = own_admin(&mut nodes);
        let before = nodes.state(1);
        let mut program = nodes.start(&["1", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        // Somebody brings it back by hand, and takes it again.
        let database = quoted(&nodes.databases[0]);
        let account = nodes.account();
        nodes
            .admin(1)
            .query_drop(format!(
                "SET sql_log_bin = 0; DROP EVENT {database}.fail_start_undo; ALTER USER {account} ACCOUNT UNLOCK; \
                 GRANT ALL ON {database}.* TO {account}"
            ))
            .unwrap();
        assert_eq!(nodes.state(1), before);
        let mut next = nodes.fail(&["1"]);
        wait_until("the first guard is gone", || {
            (sessions(&nodes, &admin) == 1).then_some(())
        });
        nodes.assert_offline(1);
        assert_eq!(nodes.events(1).len(), 1, "the undo of the second");
        next.answer("Y\n");
        next.end().assert_status(0);
        assert_eq!(nodes.state(1), before);
        drop_admin(&nodes, &admin);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_guard_gives_back_what_can_be_given_back(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=OFF"]);
    for mut nodes in Nodes::in_both_environments(kind) {
        nodes.move_to(1, &server);
        let other = format!("{}@`10.9.8.7`", quoted(&nodes.user));
        let database = quoted(&nodes.databases[0]);
        let mut admin = nodes.admin(1);
        let before = nodes.state(1);
        admin
            .query_drop(format!(
                "CREATE USER {other}; GRANT ALL ON {database}.* TO {other}"
            ))
            .unwrap();
        let mut program = nodes.start(&["1", "--for", "1s"]);
        program.wait_for(&offline(1));
        program.kill();
        admin.query_drop(format!("DROP USER {other}")).unwrap();
        comes_back_by_itself(&nodes, &before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_lock_that_a_backup_holds_up_is_no_node_that_is_lost(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.state(1);
    let mut backup = nodes.admin(1);
    backup.query_drop("FLUSH TABLES WITH READ LOCK").unwrap();
    for args in [
        &["1", "--timeout", "2s"][..],
        &["1", "--timeout", "2s", "--method", "revoke"],
    ] {
        let began = Instant::now();
        let finished = nodes.run(args, "Y\n");
        finished
            .assert_status(1)
            .assert_says("could not be taken offline");
        assert!(!finished.err.contains("by hand"), "{}", finished.err);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
    backup.query_drop("UNLOCK TABLES").unwrap();
    assert_eq!(nodes.state(1), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn after_a_restart_no_innocent_session_is_ended(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=OFF"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.state(1);
    let mut program = nodes.start(&["1", "--for", "10m"]);
    program.wait_for(&offline(1));
    program.kill();
    // Long enough ago for a clock of whole seconds.
    let began = Instant::now();
    wait_until("time goes by", || {
        (began.elapsed() > Duration::from_secs(4)).then_some(())
    });
    let port = server.port;
    let folder = server.shut_down();
    let _server = Server::start_again(kind, folder, port, &["--event-scheduler=OFF"]);
    // Sessions of the same admin that have the ids which those had.
    let mut innocent: Vec<Conn> = (0..60)
        .map(|_| login(port, "tester", "testpass", None).unwrap())
        .collect();
    nodes
        .run(&["recover", "1"], "")
        .assert_status(0)
        .assert_line(&online(1));
    for session in &mut innocent {
        session.query_drop("DO 1").unwrap();
    }
    assert_eq!(nodes.state(1), before);
}
