//! What would make OFFLINE untrue is found before anything is touched: other ways in, what goes on
//! without a login, an address that leads to several servers, another fail-start on the same
//! server.

use std::thread;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, PROMPT, Server, login, offline, online, quoted, servers, wait_until,
};
use crate::proxy::Proxy;

/// Asserts that node 1 is refused for this reason, and that nothing is changed.
#[track_caller]
fn refused(nodes: &Nodes, args: &[&str], kind: &str, says: &[&str]) {
    let before = nodes.states();
    let finished = nodes.run(&[args, &["--json"]].concat(), "Y\n");
    finished.assert_status(1).assert_says("nothing was changed");
    finished.assert_kinds(&[kind]);
    for text in says {
        finished.assert_says(text);
    }
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_grant_that_arrives_between_the_check_and_the_revoke_is_noticed(kind: Kind) {
    // Its own, where no outage of another test ends a login that takes this long.
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::cloud(kind);
    nodes.move_to(1, &server);
    let proxy = Proxy::to(server.port);
    nodes.reach_by(1, proxy.port);
    let (account, role) = (nodes.account(), format!("r{}", nodes.user));
    let mut admin = nodes.admin(1);
    let database = quoted(&nodes.databases[0]);
    admin
        .query_drop(format!(
            "CREATE ROLE {role}; GRANT SELECT ON {database}.* TO {role}"
        ))
        .unwrap();
    for (give, take) in [
        (
            format!("GRANT SELECT ON *.* TO {account}"),
            format!("REVOKE SELECT ON *.* FROM {account}"),
        ),
        (
            format!("GRANT {role} TO {account}"),
            format!("REVOKE {role} FROM {account}"),
        ),
        (
            format!(
                "CREATE USER `{0}`@`localhost`; GRANT SELECT ON {database}.* TO `{0}`@`localhost`",
                nodes.user
            ),
            format!("DROP USER `{}`@`localhost`", nodes.user),
        ),
    ] {
        let before = nodes.states();
        // Node 1 is further away, so that its revoke is under way when node 2's has been made.
        proxy.set_delay(std::time::Duration::from_millis(300));
        let mut program = nodes.start(&["1", "2", "--json"]);
        wait_until("node 2 is being taken", || {
            assert!(program.is_running(), "{}", program.printed());
            (!nodes.events(2).is_empty()).then_some(())
        });
        admin.query_drop(give).unwrap();
        proxy.set_delay(std::time::Duration::ZERO);
        let finished = program.end();
        finished.assert_status(1).assert_kinds(&["opened"]);
        assert!(!finished.err.contains(&offline(1)), "{}", finished.err);
        admin.query_drop(take).unwrap();
        assert_eq!(nodes.states(), before);
    }
    admin.query_drop(format!("DROP ROLE {role}")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_without_a_name_that_reaches_the_database_is_a_way_in(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    // One that reaches nothing is none.
    admin.query_drop("CREATE USER ''@'10.9.8.7'").unwrap();
    nodes.run(&["1"], "Y\n").assert_status(0);
    let pattern = format!("{}%", &nodes.databases[0][..nodes.databases[0].len() - 3]);
    admin
        .query_drop(format!("GRANT INSERT ON `{pattern}`.* TO ''@'10.9.8.7'"))
        .unwrap();
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        refused(
            &nodes,
            args,
            "other_way_in",
            &[
                "''@'10.9.8.7'",
                "holds INSERT ON",
                "would not take it offline",
            ],
        );
    }
}

#[test]
fn what_everybody_holds_on_mariadb_is_held_without_a_name_too() {
    let server = Server::start(Kind::MariaDb, &[]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    let database = quoted(&nodes.databases[0]);
    admin
        .query_drop(format!("GRANT INSERT ON {database}.* TO PUBLIC"))
        .unwrap();
    nodes.run(&["1"], "Y\n").assert_status(0);
    admin.query_drop("CREATE USER ''@'10.9.8.7'").unwrap();
    let says = ["''@'10.9.8.7'", "holds INSERT ON"];
    refused(&nodes, &["1"], "other_way_in", &says);
}

/// A client is let in by one row, and holds what is granted to its name, whichever row that is of.
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_grant_to_a_row_that_is_gone_is_a_way_in(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let (mut admin, user) = (nodes.admin(1), quoted(&nodes.user));
    let database = quoted(&nodes.databases[0]);
    let table = match kind {
        Kind::MySql => "user",
        Kind::MariaDb => "global_priv",
    };
    let gone = |row: &str, how: &str| {
        format!("{how} mysql.{table} {row} WHERE Host = '127.%'; FLUSH PRIVILEGES")
    };
    let delete = gone("", "DELETE FROM");
    let mut ways = vec![
        ("SELECT ON {}.*", delete.clone()),
        ("SELECT ON {}.t", delete.clone()),
    ];
    if kind == Kind::MySql {
        ways.push(("SELECT ON {}.*", gone("SET plugin = 'gone'", "UPDATE")));
    }
    for (grant, loses_its_row) in ways {
        let grant = grant.replace("{}", &database);
        admin
            .query_drop(format!(
                "CREATE USER {user}@'127.%' IDENTIFIED BY 'p'; GRANT {grant} TO {user}@'127.%'; \
                 CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'rootpass'; {loses_its_row}"
            ))
            .unwrap();
        let revoke = ["1", "--method", "revoke"];
        let row = format!("{user}@`127.%`");
        refused(
            &nodes,
            &revoke,
            "other_way_in",
            &[&row, "use --method lock"],
        );
        nodes.run(&["1"], "Y\n").assert_status(0);
        let tables = ["db", "tables_priv"]
            .map(|name| format!("DELETE FROM mysql.{name} WHERE Host = '127.%'"));
        admin
            .query_drop(format!(
                "{delete}; {}; FLUSH PRIVILEGES; DROP USER {user}@'127.0.0.1'",
                tables.join("; ")
            ))
            .unwrap();
        nodes.run(&revoke, "Y\n").assert_status(0);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn events_of_the_account_itself_are_named(kind: Kind) {
    let server = Server::start(kind, &["--event-scheduler=ON"]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let mut session = nodes.log_in(1).unwrap();
    session
        .conn
        .query_drop(format!(
            "CREATE EVENT ticks ON SCHEDULE EVERY 1 SECOND DO INSERT INTO `{}`.t VALUES ()",
            nodes.databases[0]
        ))
        .unwrap();
    let name = format!("the event `{}`.`ticks`", nodes.databases[0]);
    nodes
        .run(&["1", "--dry-run", "--json"], "")
        .assert_status(0)
        .assert_kinds(&["own_events"])
        .assert_says(&name)
        .assert_says("--method revoke would keep later runs out of");
    let finished = nodes.run(&["1", "--dry-run", "--method", "revoke", "--json"], "");
    finished.assert_kinds(&[]);
    // What a run of it does meanwhile is no session that got in, and is not ended.
    let mut admin = nodes.admin(1);
    let through = format!(
        "ALTER EVENT {}.ticks DO BEGIN DO SLEEP(1.5); INSERT INTO t VALUES (); END",
        quoted(&nodes.databases[0])
    );
    session.conn.query_drop(through).unwrap();
    let mut program = nodes.start(&["1", "--json", "--for", "5s"]);
    program.wait_for(r#""event":"offline""#);
    let rows = format!("SELECT COUNT(*) FROM {}.t", quoted(&nodes.databases[0]));
    let mut count = || admin.query_first::<u64, _>(&rows).unwrap().unwrap();
    let before = count();
    wait_until("two runs of the event", || {
        (count() > before + 1).then_some(())
    });
    let finished = program.end();
    finished.assert_status(0).assert_kinds(&["own_events"]);
    // One that does not run is none.
    nodes
        .admin(1)
        .query_drop("SET GLOBAL event_scheduler = OFF")
        .unwrap();
    let finished = nodes.run(&["1", "--dry-run", "--json"], "");
    finished.assert_kinds(&[]);
}

#[test]
fn on_mariadb_they_are_named_to_an_admin_too_who_may_make_none() {
    let server = Server::start(Kind::MariaDb, &["--event-scheduler=ON"]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE DEFINER = {} EVENT mysql.ticks ON SCHEDULE EVERY 1 HOUR DO SELECT 1; \
             CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT ON mysql.* TO low; \
             GRANT PROCESS, CREATE USER, CONNECTION ADMIN, BINLOG ADMIN ON *.* TO low; \
             GRANT EVENT ON {}.* TO low",
            nodes.account(),
            quoted(&nodes.databases[0])
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER_NODE1", "low");
    nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE1", "p");
    nodes
        .run(&["1", "--dry-run", "--json"], "")
        .assert_status(0)
        .assert_kinds(&["own_events"])
        .assert_says("the event `mysql`.`ticks`");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_runs_with_the_accounts_rights_is_counted_where_they_are_revoked(kind: Kind) {
    let nodes = Nodes::local(kind);
    let database = &nodes.databases[0];
    let mut session = nodes.log_in(1).unwrap();
    session.conn.query_drop("CREATE VIEW v AS SELECT * FROM t; CREATE SQL SECURITY INVOKER VIEW w AS SELECT * FROM t").unwrap();
    let revoke = ["1", "--method", "revoke", "--dry-run", "--json"];
    nodes
        .run(&revoke, "")
        .assert_status(0)
        .assert_kinds(&["definer_objects"])
        .assert_says(&format!("1 view, routine or trigger in `{database}`"));
    nodes
        .admin(1)
        .query_drop(format!(
            "USE {}; CREATE DEFINER = {} PROCEDURE p() SELECT 1; \
             CREATE DEFINER = {}@`%` VIEW x AS SELECT * FROM t; CREATE DEFINER = {}@`nowhere` VIEW y AS SELECT * FROM t",
            quoted(database),
            nodes.account(),
            // Another's, though some comparisons of the server take both for the same.
            quoted(&nodes.user.to_uppercase()),
            // Nobody's: it has no rights that could go.
            quoted(&nodes.user)
        ))
        .unwrap();
    nodes
        .run(&revoke, "")
        .assert_status(0)
        .assert_kinds(&["definer_objects"])
        .assert_says("2 views, routines and triggers");
    assert_eq!(nodes.run(&["1", "--dry-run"], "").assert_status(0).err, "");
    // In an outage it is counted by the watch: nobody waits for OFFLINE or ONLINE because of it.
    let outage = ["1", "--method", "revoke", "--json", "--for", "3s"];
    let finished = nodes.run(&outage, "");
    finished.assert_status(0).assert_kinds(&["definer_objects"]);
    let events = finished.events();
    let at = |name: &str| events.iter().position(|event| event["event"] == name);
    assert!(
        at("offline") < at("warning") && at("warning") < at("online"),
        "{events:?}"
    );
    // Of a node that is back nothing is told.
    let mut program = nodes.start(&outage);
    program.wait_for(r#""event":"offline""#);
    nodes.run(&["recover", "1"], "").assert_status(0);
    program.end().assert_status(0).assert_kinds(&["opened"]);
    // A drill's check has told it already.
    let drill = [
        "drill", "1", "--method", "revoke", "--json", "--", "sleep", "1.5",
    ];
    let finished = nodes.run(&drill, "");
    finished.assert_status(0).assert_kinds(&["definer_objects"]);
}

#[test]
fn who_holds_the_account_as_a_role_is_named_where_its_grants_are_revoked() {
    let nodes = Nodes::local(Kind::MySql);
    let (database, user) = (&nodes.databases[0], &nodes.user);
    let other = format!("{user}2");
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE USER {other} IDENTIFIED BY 'rootpass'; GRANT {} TO {other}",
            nodes.account()
        ))
        .unwrap();
    let revoke = ["1", "--method", "revoke", "--json"];
    let says = format!("`{other}`@`%` holds '{user}' as a role and loses `{database}` with it");
    nodes
        .run(&[&revoke[..], &["--dry-run"]].concat(), "")
        .assert_status(0)
        .assert_kinds(&["held_as_role"])
        .assert_says(&says);
    let finished = nodes.run(&[&revoke[..], &["--for", "3s"]].concat(), "");
    finished
        .assert_status(0)
        .assert_kinds(&["held_as_role"])
        .assert_says(&says);
    nodes
        .run(&["1", "--dry-run", "--json"], "")
        .assert_status(0)
        .assert_kinds(&[]);
    nodes
        .admin(1)
        .query_drop(format!("DROP USER {other}"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_prepared_transaction_is_named(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let mut session = nodes.log_in(1).unwrap();
    session.conn.query_drop("XA START 'x'").unwrap();
    session.write().unwrap();
    session
        .conn
        .query_drop("XA END 'x'; XA PREPARE 'x'")
        .unwrap();
    drop(session);
    for method in ["lock", "revoke"] {
        nodes
            .run(&["1", "--method", method, "--json"], "Y\n")
            .assert_status(0)
            .assert_kinds(&["prepared_transactions"]);
    }
    nodes.admin(1).query_drop("XA ROLLBACK 'x'").unwrap();
    assert_eq!(nodes.run(&["1"], "Y\n").err, "");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_address_that_leads_to_several_servers_is_refused(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_PASSWORD", "rootpass");
    // Else a login to MariaDB would be two connections.
    nodes.set("LOCAL_DB_SSL_MODE", "disabled");
    // The same node on another server, and a balancer before both.
    let database = quoted(&nodes.databases[0]);
    let mut other = nodes.admin(2);
    other
        .query_drop(format!(
            "CREATE DATABASE {database}; CREATE TABLE {database}.t (id INT); GRANT ALL ON {database}.* TO {}",
            nodes.account()
        ))
        .unwrap();
    let proxy = Proxy::between(&[nodes.port(1), nodes.port(2)]);
    nodes.reach_by(1, proxy.port);
    for args in [&["1"][..], &["1", "--method", "revoke"], &["1"]] {
        refused(
            &nodes,
            args,
            "several_servers",
            &["leads to several servers", "load balancer"],
        );
    }
    other
        .query_drop(format!(
            "DROP DATABASE {database}; REVOKE ALL ON {database}.* FROM {}",
            nodes.account()
        ))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn of_two_for_two_databases_of_one_server_one_gets_it(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(2, &servers(kind)[0]);
    let before = nodes.states();
    for _ in 0..15 {
        let mut programs = [nodes.start(&["1"]), nodes.start(&["2"])];
        let won: Vec<bool> = programs
            .iter_mut()
            .map(|program| {
                wait_until("it is offline or refused", || {
                    (program.printed().contains(PROMPT) || !program.is_running()).then_some(())
                });
                program.printed().contains("OFFLINE")
            })
            .collect();
        for (number, (program, won)) in programs.iter_mut().zip(&won).enumerate() {
            if *won {
                nodes.assert_offline(1);
                program.answer("Y\n");
                program
                    .end()
                    .assert_status(0)
                    .assert_line(&online(number + 1));
            } else {
                program
                    .end()
                    .assert_status(1)
                    .assert_says("nothing was changed");
            }
        }
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert_eq!(nodes.states(), before);
    }
    // By revoke they have nothing in common.
    let mut first = nodes.fail(&["1", "--method", "revoke"]);
    let mut second = nodes.fail(&["2", "--method", "revoke"]);
    for program in [&mut first, &mut second] {
        program.answer("Y\n");
        program.end().assert_status(0);
    }
    assert_eq!(nodes.states(), before);
}

#[test]
fn a_mandatory_role_that_reaches_the_database_is_a_way_in() {
    let server = Server::start(Kind::MySql, &["--activate-all-roles-on-login=ON"]);
    let mut nodes = Nodes::cloud(Kind::MySql);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    admin
        .query_drop("CREATE ROLE 'all of us'@'%', harmless; SET GLOBAL mandatory_roles = '`all of us`,harmless@%,no_such_role'")
        .unwrap();
    nodes.run(&["1"], "Y\n").assert_status(0);
    let database = quoted(&nodes.databases[0]);
    admin
        .query_drop(format!("GRANT SELECT ON {database}.* TO 'all of us'@'%'"))
        .unwrap();
    refused(
        &nodes,
        &["1"],
        "other_way_in",
        &[
            "`all of us`@`%`, a mandatory role of this server",
            "--method lock",
        ],
    );
    nodes
        .run(&["1", "--method", "lock"], "Y\n")
        .assert_status(0);
}

#[test]
fn an_account_that_may_log_in_as_this_one_is_a_way_in() {
    let server = Server::start(
        Kind::MySql,
        &["--check-proxy-users=ON", "--sha256-password-proxy-users=ON"],
    );
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let mut root = login_as_root(&server);
    root.query_drop(format!(
        "CREATE USER px IDENTIFIED WITH sha256_password BY 'p'; GRANT PROXY ON {} TO px",
        nodes.account()
    ))
    .unwrap();
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        refused(
            &nodes,
            args,
            "other_way_in",
            &["'px'@'%', which may log in as", "GRANT PROXY"],
        );
    }
    root.query_drop(format!("REVOKE PROXY ON {} FROM px", nodes.account()))
        .unwrap();
    nodes.run(&["1"], "Y\n").assert_status(0);
    assert!(login(server.port, "px", "wrong", None).is_err());
}

/// Only root may make proxies of others.
fn login_as_root(server: &Server) -> mysql::Conn {
    let socket = server.socket().display().to_string();
    mysql::Conn::new(
        mysql::OptsBuilder::new()
            .user(Some("root"))
            .socket(Some(socket)),
    )
    .unwrap()
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_account_without_a_name_that_is_dropped_just_then_is_no_obstacle(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    thread::scope(|scope| {
        let runs = scope.spawn(|| [(); 40].map(|()| nodes.run(&["1", "--dry-run"], "").status));
        while !runs.is_finished() {
            admin
                .query_drop("CREATE USER ''@'10.9.8.7'; DROP USER ''@'10.9.8.7'")
                .unwrap();
        }
        assert_eq!(runs.join().unwrap(), [0; 40]);
    });
}
