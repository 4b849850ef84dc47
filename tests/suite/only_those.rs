//! Only the named nodes: nothing reaches another, not by replication, not by Galera, not by a
//! shared server.

use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{
    Kind, Nodes, Server, TempDir, free_port, login, offline, online, quoted, servers, wait_until,
};
use crate::proxy::Proxy;

/// Two nodes that hold the same accounts: what happens to one in SQL happens to the other.
fn replicas_stay(nodes: &Nodes, position: &str, has_arrived: impl Fn(u64) -> bool) {
    let before = nodes.states();
    let mut source = nodes.admin(1);
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        let position_before: String = source.query_first(position).unwrap().unwrap();
        let mut program = nodes.fail(args);
        nodes.assert_offline(1);
        assert_eq!(
            source.query_first::<String, _>(position).unwrap().unwrap(),
            position_before
        );
        // What the admin writes now does arrive, so whatever came before it has arrived too.
        source
            .query_drop(format!("INSERT INTO `{}`.t VALUES ()", nodes.databases[0]))
            .unwrap();
        let rows: u64 = source
            .query_first(format!("SELECT COUNT(*) FROM `{}`.t", nodes.databases[0]))
            .unwrap()
            .unwrap();
        wait_until("the row arrives", || has_arrived(rows).then_some(()));
        assert_eq!(nodes.state(2), before[1]);
        // It may read there: a write of its own would end the replication.
        let mut session = nodes.log_in(2).unwrap();
        session
            .conn
            .query_drop(format!("SELECT * FROM `{}`.t", nodes.databases[1]))
            .unwrap();
        let position_before: String = source.query_first(position).unwrap().unwrap();
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0).assert_line(&online(1));
        assert_eq!(finished.err, "");
        assert_eq!(
            source.query_first::<String, _>(position).unwrap().unwrap(),
            position_before
        );
        assert_eq!(nodes.states(), before);
        nodes.assert_online(1);
    }
}

fn rows(admin: &mut Conn, database: &str) -> u64 {
    admin
        .query_first(format!("SELECT COUNT(*) FROM `{database}`.t"))
        .ok()
        .flatten()
        .unwrap_or(0)
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_replica_of_a_failed_node_stays_up(kind: Kind) {
    let options = |id: &'static str| match kind {
        Kind::MySql => vec![id, "--gtid-mode=ON", "--enforce-gtid-consistency=ON"],
        Kind::MariaDb => vec![id, "--log-bin=binlog"],
    };
    let source = Server::start(kind, &options("--server-id=1"));
    let replica = Server::start(kind, &options("--server-id=2"));
    let mut admin = login(replica.port, "tester", "testpass", None).unwrap();
    let (follow, position) = match kind {
        Kind::MySql => (
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'tester', \
                 SOURCE_PASSWORD = 'testpass', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA",
                source.port
            ),
            "SELECT @@GLOBAL.gtid_executed",
        ),
        Kind::MariaDb => (
            source.followed_by_mariadb(),
            "SELECT @@GLOBAL.gtid_binlog_pos",
        ),
    };
    if kind == Kind::MariaDb {
        // Its own start-up made accounts; the source's log has the same again.
        admin.query_drop("RESET MASTER").unwrap();
    }
    admin.query_drop(follow).unwrap();
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &source);
    let database = nodes.databases[0].clone();
    wait_until("the replica has the database", || {
        admin
            .query_drop(format!("SELECT 1 FROM `{database}`.t"))
            .is_ok()
            .then_some(())
    });
    nodes.is_also(2, &replica, 1);
    wait_until("the replica has the account", || {
        nodes.log_in(2).is_ok().then_some(())
    });
    replicas_stay(&nodes, position, |count| {
        rows(
            &mut login(replica.port, "tester", "testpass", None).unwrap(),
            &database,
        ) >= count
    });
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn two_names_for_one_database_are_refused(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(2, &servers(kind)[0]);
    let second = nodes.databases[1].clone();
    nodes.set("LOCAL_DB_NAME_NODE2", &nodes.databases[0].clone());
    let before = nodes.states();
    let socket = servers(kind)[0].socket().display().to_string();
    for (one, two) in [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        (socket.as_str(), "localhost"),
    ] {
        nodes.set("LOCAL_DB_HOST", one);
        nodes.set("LOCAL_DB_HOST_NODE2", two);
        let finished = nodes.run(&["1", "2", "3", "--json"], "Y\n");
        finished
            .assert_status(1)
            .assert_kinds(&["same_database"])
            .assert_says("error: node 2 (")
            .assert_says("as node 1 (");
        assert!(!finished.err.contains("OFFLINE"), "{}", finished.err);
        assert_eq!(nodes.states(), before);
    }
    nodes
        .run(&["1", "2", "--method", "revoke", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["same_database"]);
    // The server's other database is a node of its own, by whatever name the server is reached.
    nodes.set("LOCAL_DB_NAME_NODE2", &second);
    let finished = nodes.run(&["1", "2", "3"], "Y\n");
    finished.assert_status(0).assert_line(&online(2));
    assert_eq!((finished.err.as_str(), nodes.states()), ("", before));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_unnamed_node_on_the_same_server_is_warned_about(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.move_to(2, &servers(kind)[0]);
    let server = &servers(kind)[0];
    let socket = server.socket().display().to_string();
    let machine: String = nodes
        .admin(1)
        .query_first("SELECT @@hostname")
        .unwrap()
        .unwrap();
    for (one, two) in [
        ("127.0.0.1", "localhost"),
        ("localhost", "127.0.0.2"),
        ("127.0.0.1", &machine),
        ("127.0.0.1", &socket),
    ] {
        nodes.set("LOCAL_DB_HOST", one);
        nodes.set("LOCAL_DB_HOST_NODE2", two);
        nodes
            .run(&["1", "--json"], "Y\n")
            .assert_status(0)
            .assert_kinds(&["neighbour_goes_too"])
            .assert_says("node 2 is on the same server")
            .assert_says("to spare it: --method revoke");
    }
    assert_eq!(nodes.run(&["3"], "Y\n").assert_status(0).err, "");
    // Another account goes on; the same database goes whatever the way.
    nodes.set("LOCAL_DB_USER_NODE2", "another");
    assert_eq!(nodes.run(&["1"], "Y\n").assert_status(0).err, "");
    nodes.set("LOCAL_DB_USER_NODE2", &nodes.user.clone());
    let revoke = ["1", "--json", "--method", "revoke"];
    nodes.run(&revoke, "Y\n").assert_status(0).assert_kinds(&[]);
    nodes.set("LOCAL_DB_NAME_NODE2", &nodes.databases[0].clone());
    for args in [&revoke[..2], &revoke] {
        let finished = nodes.run(args, "Y\n");
        finished
            .assert_status(0)
            .assert_kinds(&["neighbour_goes_too"])
            .assert_says("node 2 is the same database on the same server");
        assert!(!finished.err.contains("to spare it"), "{}", finished.err);
    }
}

/// In a grant `_` stands for any character.
#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_grant_that_covers_another_database_too_is_not_revoked(kind: Kind) {
    let nodes = Nodes::local(kind);
    let (database, account) = (&nodes.databases[0], nodes.account());
    let (like, escaped) = (database.replace('_', "x"), database.replace('_', "\\_"));
    let mut admin = nodes.admin(1);
    let mut ask = |statements: &[&str]| {
        for statement in statements {
            admin.query_drop(statement).unwrap();
        }
    };
    let grant = |name: &str| format!("GRANT ALL ON {}.* TO {account}", quoted(name));
    let revoke = |name: &str| format!("REVOKE ALL ON {}.* FROM {account}", quoted(name));
    ask(&[
        &format!("CREATE DATABASE {like}"),
        &format!("CREATE TABLE {like}.t (id INT)"),
    ]);
    let args = ["1", "--method", "revoke", "--json"];
    let before = nodes.states();
    nodes
        .run(&args, "Y\n")
        .assert_status(1)
        .assert_kinds(&["covers_another_database"])
        .assert_says(&format!("covers `{like}` too"))
        .assert_says(&format!("ON `{escaped}`.*"));
    assert_eq!(nodes.states(), before);
    // Where that has a grant of its own, the server goes by it alone; and so it does without a pattern.
    for own in [grant(&like), grant(&escaped)] {
        ask(&[&own]);
        if own == grant(&escaped) {
            ask(&[&revoke(&like), &revoke(database)]);
        }
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        if own == grant(&like) {
            let mut other = login(nodes.port(1), &nodes.user, "rootpass", Some(&like)).unwrap();
            other.query_drop("INSERT INTO t VALUES (1)").unwrap();
        }
        program.answer("Y\n");
        program.end().assert_status(0);
    }
    ask(&[&format!("DROP DATABASE {like}")]);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn nodes_that_share_a_server_in_cloud_are_independent(kind: Kind) {
    let mut nodes = Nodes::cloud(kind);
    for number in [2, 3] {
        nodes.move_to(number, &servers(kind)[0]);
    }
    let before = nodes.states();
    let mut open: Vec<_> = (1..=3)
        .map(|number| nodes.log_in(number).unwrap())
        .collect();
    let mut program = nodes.fail(&["1", "3"]);
    for number in [1, 3] {
        nodes.assert_offline(number);
        assert!(open[number - 1].write().is_err());
    }
    open[1].write().unwrap();
    nodes.assert_online(2);
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(0);
    assert_eq!(finished.err, "");
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_who_may_not_switch_the_binary_log_off_is_warned_where_there_is_one(kind: Kind) {
    let logs = if kind == Kind::MariaDb {
        &["--log-bin=binlog"][..]
    } else {
        &[]
    };
    let with_log = Server::start(kind, logs);
    let without_log = Server::start(kind, &["--skip-log-bin"]);
    for (server, kinds) in [
        (&with_log, &["no_undo", "reaches_replicas"][..]),
        (&without_log, &["no_undo"]),
    ] {
        let mut nodes = Nodes::local(kind);
        nodes.move_to(1, server);
        let kill = if kind == Kind::MySql {
            "CONNECTION_ADMIN"
        } else {
            "CONNECTION ADMIN"
        };
        nodes
            .admin(1)
            .query_drop(format!(
                "CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT, PROCESS, CREATE USER ON *.* TO low; \
                 GRANT {kill} ON *.* TO low"
            ))
            .unwrap();
        nodes.set("TESTER_LOCAL_DB_USER", "low");
        nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
        let before = nodes.state(1);
        nodes
            .run(&["1", "--json"], "Y\n")
            .assert_status(0)
            .assert_kinds(kinds)
            .assert_says(&offline(1))
            .assert_says(&online(1));
        assert_eq!(nodes.state(1), before);
    }
}

#[test]
fn a_server_that_is_read_only_is_refused() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let mut admin = nodes.admin(1);
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    nodes
        .run(&["1", "2", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["read_only"])
        .assert_says("error: node 1 (")
        .assert_says("super_read_only")
        .assert_says("nothing was changed");
    // Plain read_only is no obstacle for the admin.
    admin
        .query_drop("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = ON")
        .unwrap();
    nodes.run(&["1", "2"], "Y\n").assert_status(0);
}

#[test]
fn a_server_that_turns_read_only_in_between_takes_nothing_down() {
    let server = Server::start(Kind::MySql, &[]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(3, &server);
    nodes.set("LOCAL_DB_SSL_MODE", "disabled");
    let proxy = Proxy::to(server.port);
    nodes.reach_by(3, proxy.port);
    let before = nodes.states();

    // Node 3 is so far away that the others are offline before the first statement that changes it
    // arrives there.
    let mut admin = nodes.admin(3);
    proxy.set_delay(Duration::from_millis(400));
    let mut program = nodes.start(&["1", "2", "3", "--json"]);
    program.wait_for(&offline(1));
    program.wait_for(&offline(2));
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    let finished = program.end();
    finished
        .assert_status(1)
        .assert_kinds(&["read_only"])
        .assert_says("error: node 3 (")
        .assert_says(&online(1))
        .assert_says(&online(2));
    admin
        .query_drop("SET GLOBAL super_read_only = OFF")
        .unwrap();
    assert_eq!(nodes.states(), before);
}

#[test]
fn an_admin_who_may_not_touch_the_account_takes_nothing_down() {
    let mut nodes = Nodes::local(Kind::MySql);
    let low = format!("low{}", nodes.user);
    nodes
        .admin(3)
        .query_drop(format!(
            "GRANT SYSTEM_USER ON *.* TO {}; CREATE USER `{low}` IDENTIFIED BY 'p'; \
             GRANT SELECT, PROCESS, CREATE USER ON *.* TO `{low}`; GRANT CONNECTION_ADMIN ON *.* TO `{low}`",
            nodes.account()
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER_NODE3", &low);
    nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE3", "p");
    let before = nodes.states();
    let finished = nodes.run(&["1", "2", "3", "--json"], "Y\n");
    finished
        .assert_status(1)
        .assert_kinds(&["system_user"])
        .assert_says("error: node 3 (");
    assert!(!finished.err.contains("OFFLINE"), "{}", finished.err);
    assert_eq!(nodes.states(), before);
    nodes
        .admin(3)
        .query_drop(format!("DROP USER `{low}`"))
        .unwrap();
}

/// Brought back by another program, and by the server itself: on that node only, too.
fn comes_back_alone(nodes: &Nodes) {
    nodes
        .admin(1)
        .query_drop("SET GLOBAL event_scheduler = ON")
        .unwrap();
    for method in ["lock", "revoke"] {
        let before = nodes.states();
        nodes.fail(&["1", "--method", method]).kill();
        nodes.assert_offline(1);
        assert_eq!(nodes.states()[1..], before[1..]);
        nodes.run(&["recover"], "").assert_status(0);
        assert_eq!(nodes.states(), before);

        let mut program = nodes.start(&["1", "--for", "100ms", "--method", method]);
        program.wait_for(&offline(1));
        program.kill();
        wait_until("the server brings it back", || {
            assert_eq!(nodes.states()[1..], before[1..]);
            (nodes.state(1) == before[0]).then_some(())
        });
    }
}

#[test]
fn on_a_galera_cluster_only_the_named_node_fails() {
    let provider = "/usr/lib/galera/libgalera_smm.so";
    assert!(
        std::path::Path::new(provider).exists(),
        "no Galera: run scripts/install galera"
    );
    let group: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let members = group
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect::<Vec<_>>()
        .join(",");
    let options = |index: usize| {
        vec![
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={provider}"),
            "--wsrep-sst-method=bypass".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            format!("--wsrep-node-name=node{}", index + 1),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            format!("--wsrep-sst-receive-address=127.0.0.1:{}", free_port()),
            format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{};ist.recv_addr=127.0.0.1:{}",
                group[index],
                free_port()
            ),
        ]
    };
    let start = |index: usize, data: &TempDir, extra: &[&str]| {
        let options = options(index);
        let mut all: Vec<&str> = options.iter().map(String::as_str).collect();
        all.extend(extra);
        Server::start_from(Kind::MariaDb, data, &all)
    };
    let address = format!("--wsrep-cluster-address=gcomm://{members}");
    // The folder of a server that has been a cluster by itself and was shut down: members that
    // start from it have the same state, and need no transfer of it.
    let template = start(
        0,
        &Server::start(Kind::MariaDb, &[]).shut_down(),
        &["--wsrep-new-cluster", &address],
    )
    .shut_down();
    let first = start(0, &template, &["--wsrep-new-cluster", &address]);
    let second = start(1, &template, &[&address]);
    let third = start(2, &template, &[&address]);
    let size = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_size'";
    wait_until("three members", || {
        let mut admin = login(first.port, "tester", "testpass", None).unwrap();
        (admin.query_first::<String, _>(size).unwrap().unwrap() == "3").then_some(())
    });

    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &first);
    let database = nodes.databases[0].clone();
    nodes.is_also(2, &second, 1);
    nodes.is_also(3, &third, 1);
    for number in [2, 3] {
        wait_until("the account is everywhere", || {
            nodes.log_in(number).is_ok().then_some(())
        });
    }
    let position = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                    WHERE VARIABLE_NAME = 'wsrep_last_committed'";
    replicas_stay(&nodes, position, |count| {
        [&second, &third].iter().all(|server| {
            rows(
                &mut login(server.port, "tester", "testpass", None).unwrap(),
                &database,
            ) >= count
        })
    });
    // The others one by one, and two at once.
    for args in [&["2"][..], &["2", "3"]] {
        let before = nodes.states();
        let mut program = nodes.fail(args);
        nodes.assert_online(1);
        nodes.assert_offline(2);
        program.answer("Y\n");
        program.end().assert_status(0);
        assert_eq!(nodes.states(), before);
    }

    comes_back_alone(&nodes);

    // An admin who may not keep it on one node would take all of them down.
    nodes
        .admin(1)
        .query_drop(
            "CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT, PROCESS, CREATE USER, CONNECTION ADMIN ON *.* TO low",
        )
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", "low");
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    nodes
        .run(&["1", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["would_reach_cluster"]);
}
