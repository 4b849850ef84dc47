//! `--lift-read-only`: a node that is read-only, a replica or a secondary of a group, goes offline
//! by itself and comes back, and is read-only at once and after.

use std::thread;
use std::time::{Duration, Instant};

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::demoted::{Group, variables, with_gtids};
use crate::harness::{Kind, Nodes, Program, Server, offline, online, quoted, wait_until};

const LIFT: &str = "--lift-read-only";

/// Whether it is read-only, and whether it runs events: `super_read_only`, `read_only`,
/// `event_scheduler`.
fn mode(nodes: &Nodes, number: usize) -> (bool, bool, String) {
    let (_, super_read_only, read_only, events) = variables(nodes.port(number));
    (super_read_only, read_only, events)
}

fn read_only() -> (bool, bool, String) {
    (true, true, "ON".to_owned())
}

fn writable() -> (bool, bool, String) {
    (false, false, "ON".to_owned())
}

fn make_read_only(nodes: &Nodes, number: usize) {
    nodes
        .admin(number)
        .query_drop("SET GLOBAL super_read_only = ON")
        .unwrap();
}

fn make_writable(nodes: &Nodes, number: usize) {
    nodes
        .admin(number)
        .query_drop("SET GLOBAL read_only = OFF")
        .unwrap();
}

/// Waits until the node, whose program is gone, is as before.
fn comes_back_by_itself(nodes: &Nodes, number: usize, before: &str) {
    let began = Instant::now();
    wait_until("it comes back by itself", || {
        (nodes.state(number) == before).then_some(())
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    wait_until("the guard is done", || {
        let free = "SELECT IS_FREE_LOCK('fail_start.read_only')";
        (nodes.admin(number).query_first(free).unwrap() == Some(1)).then_some(())
    });
}

/// How an outage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Y,
    /// `kill -9`, and then from another folder.
    Recover,
    /// `kill -9`, and then the server itself.
    Guard,
}

/// Takes the node offline, and does this while it is.
fn outage(nodes: &Nodes, number: usize, args: &[&str], by: By, meanwhile: impl FnOnce()) {
    let before = nodes.state(number);
    let name = number.to_string();
    let mut args = [&[name.as_str()], args].concat();
    if by == By::Guard {
        args.extend(["--for", "2s"]);
    }
    let mut program = nodes.start(&args);
    program.wait_for(&offline(number));
    nodes.assert_offline(number);
    if by == By::Guard {
        program.kill();
    }
    meanwhile();
    let finished = match by {
        By::Y => {
            program.answer("Y\n");
            program.end()
        }
        By::Recover => {
            program.kill();
            nodes.run_elsewhere(&["recover", &name])
        }
        By::Guard => {
            comes_back_by_itself(nodes, number, &before);
            return;
        }
    };
    finished.assert_status(0).assert_line(&online(number));
    assert_eq!(finished.err, "", "{by:?}");
    assert_eq!(nodes.state(number), before, "{by:?}");
}

/// The rows of the application's table on each node, when all have the same.
fn all_have_the_same_rows(nodes: &Nodes) {
    let rows = format!("SELECT COUNT(*) FROM {}.t", quoted(&nodes.databases[0]));
    let count = |number: usize| nodes.admin(number).query_first::<u64, _>(&rows).unwrap();
    wait_until("all have the same rows", || {
        (count(1) == count(2) && count(2) == count(3)).then_some(())
    });
}

/// That no transaction of anybody's but the application's has come to any: one of a node's own
/// would stay there alone.
fn all_have_the_same_transactions(nodes: &Nodes) {
    wait_until("all have the same transactions", || {
        let sets = [1, 2, 3].map(|number| variables(nodes.port(number)).0);
        (sets[0] == sets[1] && sets[1] == sets[2]).then_some(())
    });
}

/// A source, its replica, and that one's own replica.
fn chain() -> [Server; 3] {
    let servers = [1, 2, 3].map(|id| thread::spawn(move || with_gtids(id)));
    let servers = servers.map(|server| server.join().unwrap());
    for (number, server) in servers.iter().enumerate() {
        let mut admin = crate::harness::login(server.port, "tester", "testpass", None).unwrap();
        admin
            .query_drop(
                "SET sql_log_bin = 0; CREATE USER repl IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl",
            )
            .unwrap();
        if number > 0 {
            admin
                .query_drop(format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, SOURCE_USER = 'repl', \
                     SOURCE_PASSWORD = 'r', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; \
                     START REPLICA",
                    servers[number - 1].port
                ))
                .unwrap();
        }
    }
    servers
}

#[test]
fn a_read_only_replica_goes_offline_by_itself_and_replication_goes_on() {
    let servers = chain();
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &servers[0]);
    nodes.is_also(2, &servers[1], 1);
    nodes.is_also(3, &servers[2], 1);
    for number in [2, 3] {
        wait_until("the account is there", || nodes.log_in(number).ok());
    }
    make_read_only(&nodes, 2);
    let before = nodes.states();

    let refused = nodes.run(&["2", "--json"], "Y\n");
    refused
        .assert_status(1)
        .assert_kinds(&["read_only"])
        .assert_says(LIFT)
        .assert_says("nothing was changed");
    let dry = nodes.run(&["2", LIFT, "--dry-run"], "");
    dry.assert_status(0);
    for said in [
        "where super_read_only is on, it is lifted for the moment",
        "would be lifted for the moment",
    ] {
        assert!(dry.out.contains(said), "{said}: {}", dry.out);
    }
    assert_eq!(nodes.states(), before);

    for (method, ways) in [
        ("lock", [By::Y, By::Recover]),
        ("revoke", [By::Y, By::Guard]),
    ] {
        for by in ways {
            outage(&nodes, 2, &[LIFT, "--method", method], by, || {
                assert_eq!(mode(&nodes, 2), read_only());
                nodes.assert_online(1);
                nodes.log_in(3).unwrap();
                all_have_the_same_rows(&nodes);
            });
            assert_eq!(mode(&nodes, 2), read_only(), "{method} {by:?}");
            nodes.assert_online(1);
            all_have_the_same_rows(&nodes);
            all_have_the_same_transactions(&nodes);
            assert_eq!(nodes.states(), before, "{method} {by:?}");
        }
    }

    // A statement that is replicated, and takes long since a row is locked, would keep it from
    // being read-only again.
    let table = format!("{}.t", quoted(&nodes.databases[0]));
    let mut reader = nodes.admin(2);
    reader
        .query_drop(format!(
            "BEGIN; SELECT id FROM {table} ORDER BY id LIMIT 1 FOR SHARE"
        ))
        .unwrap();
    let mut writer = nodes.admin(1);
    writer
        .query_drop(format!("DELETE FROM {table} ORDER BY id LIMIT 1"))
        .unwrap();
    wait_until("it waits for the row", || {
        let held =
            "SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE OBJECT_TYPE = 'GLOBAL'";
        (nodes.admin(2).query_first::<u64, _>(held).unwrap() > Some(0)).then_some(())
    });
    let refused = nodes.run(&["2", LIFT, "--json"], "Y\n");
    refused
        .assert_status(1)
        .assert_kinds(&["server_error"])
        .assert_says("of the replication holds a")
        .assert_says("nothing was changed");
    drop(reader);
    all_have_the_same_rows(&nodes);

    // Failed over meanwhile, to it and from it: each node stays what it has become.
    for by in [By::Y, By::Guard] {
        outage(&nodes, 2, &[LIFT], by, || {
            nodes.admin(2).query_drop("STOP REPLICA").unwrap();
            make_writable(&nodes, 2);
        });
        assert_eq!(mode(&nodes, 2), writable(), "{by:?}");
        outage(&nodes, 2, &[LIFT], by, || {
            make_read_only(&nodes, 2);
            nodes.admin(2).query_drop("START REPLICA").unwrap();
        });
        assert_eq!(mode(&nodes, 2), read_only(), "{by:?}");
    }
    nodes.assert_online(1);
    all_have_the_same_rows(&nodes);
    all_have_the_same_transactions(&nodes);
    assert_eq!(nodes.states(), before);
}

#[test]
fn a_secondary_of_a_group_goes_offline_by_itself_and_the_group_goes_on() {
    let group = Group::start();
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &group.0[0]);
    nodes.is_also(2, &group.0[1], 1);
    nodes.is_also(3, &group.0[2], 1);
    for number in [2, 3] {
        wait_until("the account is there", || nodes.log_in(number).ok());
    }
    let before = nodes.states();
    for by in [By::Y, By::Recover, By::Guard] {
        outage(&nodes, 2, &[LIFT], by, || {
            assert_eq!(mode(&nodes, 2), read_only());
            nodes.assert_online(1);
            nodes.log_in(3).unwrap();
            group.wait_for_online(3);
        });
        assert_eq!(mode(&nodes, 2), read_only(), "{by:?}");
        // Elected meanwhile, it stays writable; and read-only where it was another.
        outage(&nodes, 2, &[LIFT], by, || group.make_primary(2));
        assert_eq!(mode(&nodes, 2), writable(), "{by:?}");
        nodes.assert_online(2);
        outage(&nodes, 2, &[LIFT], by, || {
            group.make_primary(1);
            wait_until("it is read-only", || {
                (mode(&nodes, 2) == read_only()).then_some(())
            });
        });
        assert_eq!(mode(&nodes, 2), read_only(), "{by:?}");
        group.wait_for_online(3);
        all_have_the_same_rows(&nodes);
        all_have_the_same_transactions(&nodes);
        assert_eq!(nodes.states(), before, "{by:?}");
    }
    // Elected while it is lifted. On a slow machine the server may have given up what was held up:
    // then it is as it was.
    let other = hold_up(&nodes, 2);
    let mut program = nodes.start(&["2", LIFT]);
    is_lifted(&nodes, 2);
    group.make_primary(2);
    drop(other);
    program.answer("Y\n");
    program.end();
    assert_eq!(mode(&nodes, 2), writable());
    assert_eq!(nodes.states(), before);
    group.make_primary(1);
    wait_until("it is read-only", || {
        (mode(&nodes, 2) == read_only()).then_some(())
    });

    // A secondary is never writable, so that what was left off is known there though nothing else
    // says so.
    let mut admin = nodes.admin(2);
    admin
        .query_drop("SET GLOBAL super_read_only = OFF")
        .unwrap();
    for command in ["status", "recover"] {
        nodes
            .run(&[command, "2", "--json"], "")
            .assert_status(0)
            .assert_kinds(&["left_open"])
            .assert_says("super_read_only was left off");
    }
    assert_eq!(mode(&nodes, 2), read_only());
    group.wait_for_online(3);
    all_have_the_same_transactions(&nodes);
}

/// Node 1 on a server of its own that is read-only, with an admin of its own, and the mode that it
/// must have again.
fn read_only_node() -> (Server, Nodes, String) {
    let server = with_gtids(1);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let admin = format!("adm_{}", nodes.user);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE USER `{admin}` IDENTIFIED BY 'p'; GRANT ALL ON *.* TO `{admin}` WITH GRANT OPTION"
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", &admin);
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    make_read_only(&nodes, 1);
    (server, nodes, admin)
}

/// How many sessions the admin has on node 1.
fn sessions(nodes: &Nodes, admin: &str) -> Vec<u64> {
    nodes
        .admin(1)
        .exec(
            "SELECT ID FROM performance_schema.processlist WHERE USER = ?",
            (admin,),
        )
        .unwrap()
}

/// Holds up every account statement on the node, in the middle of what is sent.
fn hold_up(nodes: &Nodes, number: usize) -> Conn {
    let mut other = nodes.admin(number);
    other.query_drop("LOCK TABLES mysql.user READ").unwrap();
    other
}

fn is_lifted(nodes: &Nodes, number: usize) {
    wait_until("it is lifted", || (!mode(nodes, number).0).then_some(()));
}

#[test]
fn what_others_have_due_does_not_run_while_it_is_lifted() {
    let (_server, nodes, _) = read_only_node();
    let database = quoted(&nodes.databases[0]);
    make_writable(&nodes, 1);
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!(
            "CREATE TABLE {database}.ran (id INT); \
             CREATE EVENT {database}.often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO {database}.ran VALUES (1)"
        ))
        .unwrap();
    let rows = format!("SELECT COUNT(*) FROM {database}.ran");
    wait_until("it runs", || {
        (admin.query_first::<u64, _>(&rows).unwrap() > Some(0)).then_some(())
    });
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    let before = (variables(nodes.port(1)), admin.query_first::<u64, _>(&rows));
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT]);
    is_lifted(&nodes, 1);
    let began = Instant::now();
    wait_until("it was due", || {
        (began.elapsed() > Duration::from_millis(1200)).then_some(())
    });
    drop(other);
    // On a slow machine the server may have given up what was held up; it matters only that nothing
    // ran.
    program.answer("Y\n");
    program.end();
    let after = (variables(nodes.port(1)), admin.query_first::<u64, _>(&rows));
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    make_writable(&nodes, 1);
}

#[test]
fn what_it_would_have_to_wait_for_is_named_and_nothing_is_changed() {
    let (_server, nodes, _) = read_only_node();
    let before = nodes.states();
    for (lock, named) in [
        (
            "LOCK INSTANCE FOR BACKUP",
            "of 'tester' holds a backup lock",
        ),
        ("FLUSH TABLES WITH READ LOCK", "of 'tester' holds a"),
    ] {
        let mut backup = nodes.admin(1);
        backup.query_drop(lock).unwrap();
        let finished = nodes.run(&["1", LIFT, "--json"], "Y\n");
        finished
            .assert_status(1)
            .assert_kinds(&["server_error"])
            .assert_says(named)
            .assert_says("nothing was changed");
        assert_eq!(mode(&nodes, 1), read_only());
    }
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn an_error_in_the_middle_does_not_leave_it_lifted() {
    let (_server, nodes, _) = read_only_node();
    let before = nodes.states();
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT, "--json"]);
    // It gives up, and the way back is held up too.
    program.wait_for_kind("server_error");
    program.wait_for_kind("retrying");
    drop(other);
    program.end().assert_status(1);
    assert_eq!(mode(&nodes, 1), read_only());
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn made_writable_in_the_middle_it_stays_so() {
    let (_server, nodes, _) = read_only_node();
    let before = nodes.states();
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT]);
    is_lifted(&nodes, 1);
    make_writable(&nodes, 1);
    drop(other);
    program.answer("Y\n");
    program.end();
    assert_eq!(mode(&nodes, 1), writable());
    assert_eq!(nodes.states(), before);
}

#[test]
fn killed_at_any_moment_it_is_read_only_again() {
    let (_server, nodes, admin) = read_only_node();
    let before = nodes.states();
    for moment in 0..36 {
        let mut program: Program;
        let began;
        // From before the first statement to after the last one, and then the same on the way back;
        // a slow machine shifts them.
        let kill_after = if moment < 24 {
            program = nodes.start(&["1", LIFT]);
            began = Instant::now();
            Duration::from_millis(moment * 2)
        } else {
            program = nodes.fail(&["1", LIFT]);
            program.answer("Y\n");
            began = Instant::now();
            Duration::from_micros((moment - 24) * 500)
        };
        while began.elapsed() < kill_after {
            std::hint::spin_loop();
        }
        program.kill();
        wait_until("what it has sent is done", || {
            sessions(&nodes, &admin).is_empty().then_some(())
        });
        assert_eq!(mode(&nodes, 1), read_only(), "{moment}");
        let finished = nodes.run(&["recover", "1"], "");
        finished.assert_status(0);
        assert_eq!(finished.err, "", "{moment}");
        assert_eq!(nodes.states(), before, "{moment}");
        assert_eq!(mode(&nodes, 1), read_only(), "{moment}");
    }
    make_writable(&nodes, 1);
}

#[test]
fn recover_waits_for_what_is_lifted_before_it_ends_it() {
    let (_server, nodes, admin) = read_only_node();
    let before = nodes.states();
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT]);
    is_lifted(&nodes, 1);
    let began = Instant::now();
    program.kill();
    let mut recover = nodes.start(&["recover", "1"]);
    wait_until("it waits for its turn", || {
        let waits = "SELECT COUNT(*) FROM performance_schema.processlist WHERE USER = ? AND STATE = 'User lock'";
        let count: Option<u64> = nodes.admin(1).exec_first(waits, (&admin,)).unwrap();
        (count == Some(1) || !recover.is_running()).then_some(())
    });
    drop(other);
    // Later than this the server may have given up what is held up.
    let was_soon = began.elapsed() < Duration::from_millis(1500);
    let finished = recover.end();
    finished.assert_status(0).assert_line(&online(1));
    if was_soon {
        assert_eq!(finished.err, "");
    }
    assert_eq!(mode(&nodes, 1), read_only());
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn two_at_once_on_one_server_leave_it_as_it_was() {
    let (server, mut nodes, _) = read_only_node();
    make_writable(&nodes, 1);
    nodes.move_to(2, &server);
    make_read_only(&nodes, 1);
    let before = nodes.states();
    for _ in 0..10 {
        let finished = nodes.run(&["1", "2", LIFT, "--method", "revoke"], "Y\n");
        finished
            .assert_status(0)
            .assert_line(&offline(1))
            .assert_line(&offline(2))
            .assert_line(&online(1))
            .assert_line(&online(2));
        assert_eq!(finished.err, "");
        assert_eq!(mode(&nodes, 1), read_only());
    }
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn by_hand_it_comes_back_with_the_statements_of_the_dry_run() {
    let (_server, nodes, _) = read_only_node();
    let before = nodes.states();
    let dry = nodes.run(&["1", LIFT, "--dry-run"], "");
    let (_, by_hand) = dry.out.split_once("to bring it back:").unwrap();
    let mut program = nodes.start(&["1", LIFT]);
    program.wait_for(&offline(1));
    program.kill();
    nodes.assert_offline(1);
    nodes.admin(1).query_drop(by_hand.trim()).unwrap();
    assert_eq!(mode(&nodes, 1), read_only());
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn one_that_was_left_lifted_is_told_and_closed() {
    let (_server, nodes, admin) = read_only_node();
    let before = nodes.states();
    let left = "super_read_only and the event scheduler were left off";
    // An error in the middle, and nobody there any more to close it.
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT]);
    is_lifted(&nodes, 1);
    program.kill();
    wait_until("its session is gone", || {
        sessions(&nodes, &admin).is_empty().then_some(())
    });
    drop(other);
    assert_eq!(mode(&nodes, 1), (false, true, "OFF".to_owned()));
    let status = nodes.run(&["status", "1", "--json"], "");
    status
        .assert_kinds(&["left_open"])
        .assert_says(left)
        .assert_says("fail-start recover 1");
    assert!(!mode(&nodes, 1).0, "status changes nothing");
    let recovered = nodes.run(&["recover", "1", "--json"], "");
    recovered
        .assert_status(0)
        .assert_kinds(&["left_open"])
        .assert_says(left);
    assert_eq!(mode(&nodes, 1), read_only());
    assert_eq!(nodes.states(), before);
    let status = nodes.run(&["status", "1"], "");
    assert_eq!(status.assert_status(0).err, "");

    // Somebody has made it writable since: so it stays.
    let other = hold_up(&nodes, 1);
    let mut program = nodes.start(&["1", LIFT]);
    is_lifted(&nodes, 1);
    program.kill();
    wait_until("its session is gone", || {
        sessions(&nodes, &admin).is_empty().then_some(())
    });
    drop(other);
    make_writable(&nodes, 1);
    let recovered = nodes.run(&["recover", "1"], "");
    recovered.assert_status(0);
    assert!(
        !recovered.err.contains("super_read_only"),
        "{}",
        recovered.err
    );
    assert_eq!(mode(&nodes, 1), writable());
    assert_eq!(nodes.states(), before);
}

#[test]
fn a_guard_that_was_ended_in_the_middle_is_told_and_what_it_left_is_closed() {
    let (_server, nodes, admin) = read_only_node();
    make_writable(&nodes, 1);
    let before = nodes.states();
    let mut program = nodes.start(&["1", "--for", "1s"]);
    program.wait_for(&offline(1));
    program.kill();
    // Demoted, without the option: the guard goes through it by itself.
    make_read_only(&nodes, 1);
    let other = hold_up(&nodes, 1);
    is_lifted(&nodes, 1);
    for guard in sessions(&nodes, &admin) {
        nodes.admin(1).query_drop(format!("KILL {guard}")).unwrap();
    }
    wait_until("it is gone", || {
        sessions(&nodes, &admin).is_empty().then_some(())
    });
    drop(other);
    assert_eq!(mode(&nodes, 1), (false, true, "OFF".to_owned()));
    let status = nodes.run(&["status", "1", "--json"], "");
    status.assert_kinds(&["left_open"]);
    let recovered = nodes.run(&["recover", "1", "--json"], "");
    recovered.assert_status(0).assert_kinds(&["left_open"]);
    assert_eq!(mode(&nodes, 1), read_only());
    assert_eq!(nodes.states(), before);
    make_writable(&nodes, 1);
}

#[test]
fn what_cannot_be_given_back_does_not_leave_it_lifted() {
    let (_server, nodes, _) = read_only_node();
    make_writable(&nodes, 1);
    let database = quoted(&nodes.databases[0]);
    let account = nodes.account();
    let mut admin = nodes.admin(1);
    let before = nodes.state(1);
    for by in [By::Y, By::Recover, By::Guard] {
        admin
            .query_drop(format!(
                "CREATE TABLE {database}.gone (id INT, old INT); GRANT SELECT ON {database}.gone TO {account}; \
                 CREATE PROCEDURE {database}.p() DO 0; GRANT EXECUTE ON PROCEDURE {database}.p TO {account}; \
                 GRANT UPDATE (old) ON {database}.gone TO {account}; SET GLOBAL super_read_only = ON"
            ))
            .unwrap();
        let mut args = vec!["1", LIFT, "--method", "revoke", "--json"];
        if by == By::Guard {
            args.extend(["--for", "2s"]);
        }
        let mut program = nodes.start(&args);
        program.wait_for(&offline(1));
        if by != By::Y {
            program.kill();
        }
        admin
            .query_drop(format!(
                "SET GLOBAL super_read_only = OFF; DROP PROCEDURE {database}.p; DROP TABLE {database}.gone; \
                 SET GLOBAL super_read_only = ON"
            ))
            .unwrap();
        let finished = match by {
            By::Y => {
                program.answer("Y\n");
                Some(program.end())
            }
            By::Recover => Some(nodes.run(&["recover", "1", "--json"], "")),
            By::Guard => {
                comes_back_by_itself(&nodes, 1, &before);
                None
            }
        };
        if let Some(finished) = finished {
            finished.assert_status(0).assert_kinds(&["grant_lost"; 3]);
        }
        assert_eq!(nodes.state(1), before, "{by:?}");
        assert_eq!(mode(&nodes, 1), read_only(), "{by:?}");
        make_writable(&nodes, 1);
    }
}

#[test]
fn an_admin_is_told_what_it_lacks_and_needs_no_more() {
    let (_server, mut nodes, _) = read_only_node();
    make_writable(&nodes, 1);
    let database = quoted(&nodes.databases[0]);
    nodes
        .admin(1)
        .query_drop(format!(
            "CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT ON mysql.* TO low; GRANT PROCESS, CREATE USER, CONNECTION_ADMIN \
             ON *.* TO low; GRANT EVENT ON {database}.* TO low; SET GLOBAL super_read_only = ON"
        ))
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", "low");
    let finished = nodes.run(&["1", LIFT, "--json"], "Y\n");
    finished
        .assert_status(1)
        .assert_kinds(&["lacks_privilege"; 3])
        .assert_says("low may not switch the binary log off")
        .assert_says("low lacks the privilege SYSTEM_VARIABLES_ADMIN")
        .assert_says("grant it SELECT ON performance_schema.*");
    // With what the README names it is enough.
    make_writable(&nodes, 1);
    nodes
        .admin(1)
        .query_drop(
            "GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO low; GRANT SELECT ON performance_schema.* TO low; \
             SET GLOBAL super_read_only = ON",
        )
        .unwrap();
    for by in [By::Y, By::Guard] {
        outage(&nodes, 1, &[LIFT], by, || ());
        assert_eq!(mode(&nodes, 1), read_only(), "{by:?}");
    }
    make_writable(&nodes, 1);
}

#[test]
fn on_a_writable_node_the_option_changes_nothing() {
    let (_server, nodes, _) = read_only_node();
    make_writable(&nodes, 1);
    let set = "SELECT VARIABLE_NAME, SET_TIME FROM performance_schema.variables_info \
               WHERE VARIABLE_NAME IN ('super_read_only', 'event_scheduler', 'read_only')";
    let set = || -> Vec<(String, Option<String>)> { nodes.admin(1).query(set).unwrap() };
    let before = set();
    for by in [By::Y, By::Guard] {
        outage(&nodes, 1, &[LIFT], by, || ());
    }
    assert_eq!(set(), before);
    let dry = nodes.run(&["1", LIFT, "--dry-run"], "");
    let plain = nodes.run(&["1", "--dry-run"], "");
    let rest = |out: &str| -> Vec<String> { out.lines().skip(1).map(ToOwned::to_owned).collect() };
    // But for the process ids.
    assert_eq!(rest(&dry.out).len(), rest(&plain.out).len());
    assert!(!dry.out.contains("would be lifted"), "{}", dry.out);
    // MariaDB has no such thing.
    let nodes = Nodes::local(Kind::MariaDb);
    nodes
        .run(&["1", LIFT], "Y\n")
        .assert_status(0)
        .assert_line(&online(1));
}
