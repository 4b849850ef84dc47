//! What would fail in an outage is known before it: a dry run says what a run says, and nothing is
//! touched.

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Server, admin_with, offline, online, quoted, wait_until};

/// Asserts that a dry run and a run of nodes 1 and 2 are refused for this reason, and that nothing
/// is changed.
#[track_caller]
fn refused(nodes: &Nodes, method: &str, kind: &str, says: &str) {
    let before = nodes.states();
    let mut open = [nodes.log_in(1).unwrap(), nodes.log_in(2).unwrap()];
    let args = ["1", "2", "--json", "--method", method];
    for args in [&args[..], &[&args[..], &["--dry-run"]].concat()] {
        let finished = nodes.run(args, "Y\n");
        finished
            .assert_status(1)
            .assert_kinds(&[kind])
            .assert_says("error: node 1 (")
            .assert_says(says);
    }
    assert_eq!(nodes.states(), before);
    for session in &mut open {
        session.conn.query_drop("DO 1").unwrap();
    }
}

fn to_kill(kind: Kind) -> &'static str {
    match kind {
        Kind::MySql => "CONNECTION_ADMIN ON *.*",
        Kind::MariaDb => "CONNECTION ADMIN ON *.*",
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_who_may_not_pass_on_all_that_the_account_holds_is_told_what_it_needs(kind: Kind) {
    let mut nodes = Nodes::cloud(kind);
    let database = quoted(&nodes.databases[0]);
    let may = format!(
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, LOCK TABLES, EXECUTE ON {database}.*"
    );
    let name = admin_with(
        &mut nodes,
        &["SELECT ON mysql.*", "PROCESS ON *.*", to_kill(kind), &may],
    );
    let lacks = "lacks_privilege";
    refused(&nodes, "revoke", lacks, "WITH GRANT OPTION");
    let mut root = nodes.admin(1);
    root.query_drop(format!("GRANT {may} TO `{name}` WITH GRANT OPTION"))
        .unwrap();
    // The account holds ALL PRIVILEGES.
    refused(
        &nodes,
        "revoke",
        lacks,
        "and grant it again: it needs CREATE VIEW, SHOW VIEW, TRIGGER and 4 more WITH GRANT OPTION\n",
    );
    let account = nodes.account();
    root.query_drop(format!("REVOKE ALL ON {database}.* FROM {account}; GRANT SELECT, INSERT, TRIGGER ON {database}.* TO {account}"))
        .unwrap();
    refused(
        &nodes,
        "revoke",
        lacks,
        "it needs TRIGGER WITH GRANT OPTION\n",
    );
    root.query_drop(format!("GRANT CREATE USER ON *.* TO `{name}`"))
        .unwrap();
    refused(
        &nodes,
        "revoke",
        lacks,
        "it needs TRIGGER WITH GRANT OPTION. Use --method lock\n",
    );
    // What it holds in several places together is enough.
    root.query_drop(format!("GRANT TRIGGER ON *.* TO `{name}`"))
        .unwrap();
    let before = nodes.state(1);
    nodes
        .run(&["1"], "Y\n")
        .assert_status(0)
        .assert_line(&online(1));
    assert_eq!(nodes.state(1), before);
    root.query_drop(format!("DROP USER `{name}`")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_who_may_not_read_the_accounts_is_told_the_grant(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = admin_with(&mut nodes, &["PROCESS, CREATE USER ON *.*", to_kill(kind)]);
    refused(
        &nodes,
        "lock",
        "lacks_privilege",
        "may not read mysql.* (GRANT SELECT ON mysql.*, or SET DEFAULT ROLE",
    );
    let status = nodes.run(&["status", "1"], "");
    assert!(
        status.out.contains("may not read mysql.*"),
        "{}",
        status.out
    );
    nodes
        .admin(1)
        .query_drop(format!("DROP USER `{name}`"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_who_is_locked_or_whose_password_has_expired_is_told_so(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = admin_with(&mut nodes, &["ALL ON *.*"]);
    let mut root = nodes.admin(1);
    for (change, says, variable) in [
        ("PASSWORD EXPIRE", "has expired: set it anew", "PASSWORD"),
        ("ACCOUNT LOCK", "is locked: check", "USER"),
    ] {
        root.query_drop(format!("ALTER USER `{name}` {change}"))
            .unwrap();
        refused(&nodes, "lock", "login_refused", says);
        let status = nodes.run(&["status", "1"], "");
        status.assert_status(1);
        for text in [&name, says, &format!("TESTER_LOCAL_DB_{variable}")] {
            assert!(status.out.contains(text), "{text}: {}", status.out);
        }
    }
    root.query_drop(format!("DROP USER `{name}`")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_row_of_the_account_that_cannot_log_in_is_left_alone(kind: Kind) {
    let server = Server::start(kind, &[]);
    for mut nodes in Nodes::in_both_environments(kind) {
        nodes.move_to(1, &server);
        let (mut root, user) = (nodes.admin(1), quoted(&nodes.user));
        let database = quoted(&nodes.databases[0]);
        let gone = match kind {
            Kind::MySql => "UPDATE mysql.user SET plugin = 'gone' WHERE Host = 'elsewhere'",
            Kind::MariaDb => {
                "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.plugin', 'gone') WHERE Host = 'elsewhere'"
            }
        };
        root.query_drop(format!(
            "CREATE USER {user}@elsewhere IDENTIFIED BY 'p'; GRANT SELECT ON {database}.* TO {user}@elsewhere; {gone}; \
             FLUSH PRIVILEGES"
        ))
        .unwrap();
        let rows = "SELECT COUNT(*) FROM mysql.user WHERE Host = 'elsewhere' AND plugin = 'gone'";
        assert_eq!(root.query_first(rows).unwrap(), Some(1));
        for method in ["lock", "revoke"] {
            let mut program = nodes.fail(&["1", "--method", method]);
            nodes.assert_offline(1);
            program.answer("Y\n");
            program.end().assert_status(0).assert_line(&online(1));
            nodes.assert_online(1);
        }
        root.query_drop("DELETE FROM mysql.db WHERE Host = 'elsewhere'")
            .unwrap();
        let table = if kind == Kind::MySql {
            "user"
        } else {
            "global_priv"
        };
        root.query_drop(format!(
            "DELETE FROM mysql.{table} WHERE Host = 'elsewhere'; FLUSH PRIVILEGES"
        ))
        .unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn of_lock_and_revoke_one_works_for_nodes_of_one_server(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::cloud(kind);
    nodes.move_to(1, &server);
    nodes.move_to(2, &server);
    let mut root = nodes.admin(1);
    let account = nodes.account();
    let locking = ["1", "2", "--method", "lock", "--json"];
    nodes
        .run(&locking, "Y\n")
        .assert_status(0)
        .assert_says(&online(2));
    nodes
        .run(&locking[1..], "Y\n")
        .assert_status(0)
        .assert_kinds(&["neighbour_goes_too"])
        .assert_says(
            "node 1 is on the same server and goes offline too; to spare it: --method revoke\n",
        );
    root.query_drop(format!("GRANT SELECT ON *.* TO {account}"))
        .unwrap();
    nodes
        .run(&["1", "2", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["other_way_in"; 2])
        .assert_says("SELECT ON *.*: use --method lock, or revoke that\n");
    nodes
        .run(&locking, "Y\n")
        .assert_status(0)
        .assert_says(&online(2));
    nodes
        .run(&locking[1..], "Y\n")
        .assert_status(0)
        .assert_kinds(&["neighbour_goes_too"])
        .assert_says("node 1 is on the same server and goes offline too\n");
}

#[test]
fn an_account_that_only_a_system_user_may_change_is_named() {
    for mut nodes in Nodes::in_both_environments(Kind::MySql) {
        let all = "ALL PRIVILEGES ON *.*";
        let name = admin_with(&mut nodes, &[all]);
        let mut root = nodes.admin(1);
        root.query_drop(format!(
            "REVOKE SYSTEM_USER ON *.* FROM `{name}`; GRANT GRANT OPTION ON *.* TO `{name}`; \
             GRANT SYSTEM_USER ON *.* TO {}",
            nodes.account()
        ))
        .unwrap();
        for method in ["lock", "revoke"] {
            refused(
                &nodes,
                method,
                "system_user",
                "'@'%' holds SYSTEM_USER, so that ",
            );
        }
        root.query_drop(format!("DROP USER `{name}`")).unwrap();
    }
}

#[test]
fn a_server_whose_tables_are_all_read_only_is_refused() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let port = server.port;
    let data = server.shut_down();
    let _server = Server::start_again(Kind::MySql, data, port, &["--innodb-read-only=ON"]);
    for method in ["lock", "revoke"] {
        refused(
            &nodes,
            method,
            "read_only",
            "(innodb_read_only), as on a reader of Aurora: name the writer's address",
        );
    }
}

#[test]
fn a_mariadb_without_events_is_failed_without_an_undo() {
    for (breaks, mends) in [
        ("DO 0", "DO 0"),
        (
            "RENAME TABLE mysql.event TO mysql.event_away",
            "RENAME TABLE mysql.event_away TO mysql.event",
        ),
        (
            "CREATE TABLE mysql.event_away LIKE mysql.event; ALTER TABLE mysql.event DROP COLUMN body_utf8",
            "DROP TABLE mysql.event; RENAME TABLE mysql.event_away TO mysql.event",
        ),
    ] {
        let options: &[&str] = if breaks == mends {
            &["--event-scheduler=DISABLED"]
        } else {
            &[]
        };
        let server = Server::start(Kind::MariaDb, options);
        for mut nodes in Nodes::in_both_environments(Kind::MariaDb) {
            nodes.move_to(1, &server);
            let mut root = nodes.admin(1);
            root.query_drop(breaks).unwrap();
            let grants = |nodes: &Nodes| -> Vec<String> {
                let account = nodes.account();
                let mut shown: Vec<String> = nodes
                    .admin(1)
                    .query(format!("SHOW GRANTS FOR {account}"))
                    .unwrap();
                shown.extend(
                    nodes
                        .admin(1)
                        .query::<String, _>(format!("SHOW CREATE USER {account}"))
                        .unwrap(),
                );
                shown
            };
            let before = grants(&nodes);
            let says = "it has no events (";
            nodes
                .run(&["1", "--dry-run", "--json"], "")
                .assert_status(0)
                .assert_kinds(&["no_undo"])
                .assert_says(says);
            nodes.run(&["status", "1"], "").assert_status(0);
            let mut program = nodes.fail(&["1", "--json"]);
            nodes.assert_offline(1);
            program.answer("Y\n");
            program
                .end()
                .assert_status(0)
                .assert_kinds(&["no_undo"])
                .assert_says(&online(1))
                .assert_says(says);
            assert_eq!(grants(&nodes), before);
            // The guard needs no events.
            let mut program = nodes.start(&["1", "--for", "1s"]);
            program.wait_for(&offline(1));
            program.kill();
            nodes.run(&["status", "1"], "").assert_status(1);
            wait_until("it comes back by itself", || {
                (grants(&nodes) == before).then_some(())
            });
            let mut program = nodes.fail(&["1"]);
            program.kill();
            nodes
                .run(&["recover", "1"], "")
                .assert_status(0)
                .assert_line(&online(1));
            nodes.assert_online(1);
            root.query_drop(mends).unwrap();
        }
    }
}
