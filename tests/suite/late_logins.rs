//! A login that began before the outage does not get in after OFFLINE, however long its client
//! takes over it.

use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;
use test_case::test_case;

use crate::harness::{Kind, Nodes, Server, login, offline, online, wait_until};
use crate::proxy::Proxy;
use crate::raw::Raw;

/// How many rows there are on node 1.
fn rows(nodes: &Nodes) -> u64 {
    let count = format!("SELECT COUNT(*) FROM `{}`.t", nodes.databases[0]);
    nodes.admin(1).query_first(count).unwrap().unwrap()
}

/// Lets these clients get so far, takes the node offline, and has each go on after a pause: none
/// may write.
pub fn none_writes(nodes: &Nodes, args: &[&str], clients: Vec<(Raw, Duration)>) {
    let before = rows(nodes);
    let clients: Vec<_> = clients
        .into_iter()
        .map(|(mut client, pause)| {
            let password = nodes.password.clone();
            let insert = format!("INSERT INTO `{}`.t VALUES ()", nodes.databases[0]);
            thread::spawn(move || {
                thread::park_timeout(pause);
                client.answer(&password).unwrap_or(false) && client.query(&insert).unwrap_or(false)
            })
        })
        .collect();
    let mut program = nodes.fail(args);
    // Those that were faster than the outage have written by right.
    let at_first = rows(nodes);
    let wrote = clients
        .into_iter()
        .filter_map(|client| client.join().unwrap().then_some(()));
    let wrote = u64::try_from(wrote.count()).unwrap();
    assert_eq!(
        rows(nodes),
        at_first,
        "rows were written to an offline node"
    );
    assert!(wrote <= at_first - before, "{wrote} clients wrote");
    program.answer("Y\n");
    program.end().assert_status(0);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_client_that_pauses_in_the_middle_of_its_login_writes_nothing(kind: Kind) {
    let nodes = Nodes::local(kind);
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        // A first login, so that MySQL remembers the password.
        nodes.assert_online(1);
        let pauses = (1..=20).map(|step| Duration::from_millis(step * 150));
        let clients = pauses.map(|pause| {
            let mut client = Raw::connect(nodes.port(1));
            client.send_user(&nodes.user, &nodes.databases[0]);
            (client, pause)
        });
        none_writes(&nodes, args, clients.collect());
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_session_of_another_account_that_is_becoming_this_one_writes_nothing(kind: Kind) {
    let nodes = Nodes::local(kind);
    let other = format!("other{}", nodes.user);
    nodes
        .admin(1)
        .query_drop(format!("CREATE USER `{other}` IDENTIFIED BY 'rootpass'"))
        .unwrap();
    drop(login(nodes.port(1), &other, "rootpass", None).unwrap());
    for args in [&["1"][..], &["1", "--method", "revoke"]] {
        nodes.assert_online(1);
        let clients = [500, 1000, 3000].map(|pause| {
            let mut client = Raw::connect(nodes.port(1));
            client.send_user(&other, "information_schema");
            assert!(client.answer("rootpass").unwrap());
            client.change_user(&nodes.user, &nodes.databases[0]);
            (client, Duration::from_millis(pause))
        });
        none_writes(&nodes, args, clients.into());
    }
    nodes
        .admin(1)
        .query_drop(format!("DROP USER `{other}`"))
        .unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_health_check_that_hangs_in_its_login_is_none_of_its_sessions(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    for args in [
        &["1", "--timeout", "100ms"][..],
        &["1", "--timeout", "100ms", "--method", "revoke"],
    ] {
        let (check, id) = Raw::id(nodes.port(1));
        let mut program = nodes.fail(args);
        program.answer("Y\n");
        let finished = program.end();
        finished.assert_status(0);
        assert!(
            finished.out.contains("0 sessions ended"),
            "{}",
            finished.out
        );
        // By lock on MySQL it might have been the account, and is ended; else it is let alone.
        let ended = kind == Kind::MySql && args.len() == 3;
        let listed = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE ID = {id}");
        wait_until("it is as it should be", || {
            (nodes.admin(1).query_first(&listed).unwrap() == Some(u64::from(!ended))).then_some(())
        });
        drop(check);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_login_of_fail_start_that_another_one_ends_is_tried_again(kind: Kind) {
    let server = Server::start(kind, &[]);
    let mut nodes = Nodes::local(kind);
    nodes.move_to(1, &server);
    let before = nodes.state(1);
    let mut admin = nodes.admin(1);
    let proxy = Proxy::before(&mut nodes);
    proxy.set_delay(Duration::from_millis(100));
    let mut program = nodes.start(&["1"]);
    wait_until("a login is under way", || {
        let logins =
            "SELECT ID FROM information_schema.processlist WHERE USER = 'unauthenticated user'";
        let login: Option<u64> = admin.query_first(logins).unwrap();
        login.map(|id| admin.query_drop(format!("KILL {id}")).unwrap())
    });
    program.wait_for(&offline(1));
    program.answer("Y\n");
    let finished = program.finish();
    finished.assert_status(0).assert_line(&online(1));
    assert_eq!(finished.err, "");
    assert_eq!(nodes.state(1), before);
}
