//! A node that becomes read-only while it is offline, as in the failover that people want to see,
//! comes back all the same, and stays read-only.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use crate::harness::{Kind, Nodes, Server, login, offline, online, quoted, wait_until};

/// A server whose transactions have names, so that one more is seen.
pub fn with_gtids(id: u32) -> Server {
    let id = format!("--server-id={id}");
    let options = [
        "--log-bin",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--event-scheduler=ON",
    ];
    Server::start(Kind::MySql, &[&options[..], &[&id]].concat())
}

/// What must stay as it is on a server: its transactions, whether it is read-only, whether it runs
/// events.
pub fn variables(port: u16) -> (String, bool, bool, String) {
    login(port, "tester", "testpass", None)
        .unwrap()
        .query_first("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.super_read_only, @@GLOBAL.read_only, @@GLOBAL.event_scheduler")
        .unwrap()
        .unwrap()
}

/// The ways back.
#[derive(Clone, Copy, Debug)]
enum By {
    Y,
    Recover,
}

#[test]
fn a_node_that_was_made_read_only_comes_back_and_stays_read_only() {
    let server = with_gtids(1);
    for mut nodes in Nodes::in_both_environments(Kind::MySql) {
        nodes.move_to(1, &server);
        let database = quoted(&nodes.databases[0]);
        for by in [By::Y, By::Recover] {
            let before = nodes.states();
            let mut program = nodes.fail(&["1", "2"]);
            let mut admin = nodes.admin(1);
            // Somebody else's event that is overdue by the time that the node comes back must not
            // run on a read-only server.
            admin
                .query_drop(format!(
                    "CREATE TABLE {database}.ran (id INT); SET sql_log_bin = 0; \
                     CREATE EVENT {database}.overdue ON SCHEDULE AT NOW() + INTERVAL 1 SECOND DO INSERT INTO {database}.ran VALUES (1); \
                     SET GLOBAL super_read_only = ON"
                ))
                .unwrap();
            let due = "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_NAME = 'overdue' AND EXECUTE_AT < NOW()";
            wait_until("it is overdue", || {
                (admin.query_first(due).unwrap() == Some(1)).then_some(())
            });
            let was = variables(server.port);
            let began = Instant::now();
            let finished = match by {
                By::Y => {
                    program.answer("Y\n");
                    program.end()
                }
                By::Recover => {
                    program.kill();
                    nodes.run(&["recover"], "")
                }
            };
            let took = began.elapsed();
            finished
                .assert_status(0)
                .assert_line(&online(1))
                .assert_line(&online(2));
            assert_eq!(finished.err, "", "{by:?}");
            assert!(took < Duration::from_secs(2), "{by:?}: {took:?}");
            assert_eq!(variables(server.port), was, "{by:?}");
            let ran: Option<u64> = admin
                .query_first(format!("SELECT COUNT(*) FROM {database}.ran"))
                .unwrap();
            assert_eq!(ran, Some(0), "{by:?}: the overdue event ran");
            admin
                .query_drop(format!("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF; DROP EVENT {database}.overdue; DROP TABLE {database}.ran"))
                .unwrap();
            assert_eq!(nodes.states(), before, "{by:?}");
        }
    }
}

#[test]
fn what_holds_up_read_only_is_waited_for_and_the_server_does_not_stay_writable() {
    let server = with_gtids(1);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let before = nodes.states();
    let mut program = nodes.fail(&["1", "--json"]);
    let mut admin = nodes.admin(1);
    admin.query_drop("SET GLOBAL super_read_only = ON").unwrap();
    // A backup holds this lock; super_read_only = ON waits for it, for longer than the statement
    // may.
    let mut backup = nodes.admin(1);
    backup.query_drop("FLUSH TABLES WITH READ LOCK").unwrap();
    program.answer("Y\n");
    program.wait_for_kind("retrying");
    backup.query_drop("UNLOCK TABLES").unwrap();
    program.end().assert_status(0).assert_says(&online(1));
    assert!(variables(server.port).1, "it is read-only");
    admin
        .query_drop("SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF")
        .unwrap();
    assert_eq!(nodes.states(), before);
}

#[test]
fn on_mariadb_it_takes_an_admin_who_may_write_on_a_read_only_server() {
    let server = Server::start(Kind::MariaDb, &[]);
    let mut nodes = Nodes::local(Kind::MariaDb);
    nodes.move_to(1, &server);
    let mut root = nodes.admin(1);
    let database = quoted(&nodes.databases[0]);
    root.query_drop(format!(
        "CREATE USER low IDENTIFIED BY 'p'; GRANT SELECT ON mysql.* TO low; GRANT PROCESS, SHOW DATABASES, CREATE USER, \
         CONNECTION ADMIN, BINLOG ADMIN ON *.* TO low; GRANT EVENT ON {database}.* TO low"
    ))
    .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", "low");
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    let before = nodes.state(1);
    root.query_drop("SET GLOBAL read_only = ON").unwrap();
    let finished = nodes.run(&["1", "--json"], "Y\n");
    finished
        .assert_status(1)
        .assert_kinds(&["read_only"])
        .assert_says("READ_ONLY ADMIN");
    root.query_drop("SET GLOBAL read_only = OFF; GRANT READ_ONLY ADMIN ON *.* TO low")
        .unwrap();
    let mut program = nodes.fail(&["1"]);
    root.query_drop("SET GLOBAL read_only = ON").unwrap();
    program.answer("Y\n");
    assert_eq!(
        program.end().assert_status(0).assert_line(&online(1)).err,
        ""
    );
    assert_eq!(nodes.state(1), before);
    root.query_drop("SET GLOBAL read_only = OFF; DROP USER low")
        .unwrap();
}

/// Three servers of one replication group, the first of them its primary.
pub struct Group(pub [Server; 3]);

impl Group {
    pub fn start() -> Self {
        let ports = [(); 3].map(|()| crate::harness::free_port());
        let seeds = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        let servers = [0, 1, 2].map(|n: usize| {
            let (seeds, port) = (seeds.clone(), ports[n]);
            thread::spawn(move || {
                let own = [
                    format!("--server-id={}", n + 1),
                    format!("--loose-group-replication-local-address=127.0.0.1:{port}"),
                    format!("--loose-group-replication-group-seeds={seeds}"),
                ];
                let mut options = vec![
                    "--log-bin",
                    "--gtid-mode=ON",
                    "--enforce-gtid-consistency=ON",
                    "--innodb-buffer-pool-size=64M",
                    "--report-host=127.0.0.1",
                    "--plugin-load-add=group_replication.so",
                    "--loose-group-replication-group-name=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
                    "--loose-group-replication-start-on-boot=OFF",
                    "--loose-group-replication-ip-allowlist=127.0.0.1/8",
                    "--loose-group-replication-communication-stack=XCOM",
                    "--loose-group-replication-recovery-get-public-key=ON",
                    "--loose-group-replication-single-primary-mode=ON",
                    "--loose-group-replication-enforce-update-everywhere-checks=OFF",
                ];
                options.extend(own.iter().map(String::as_str));
                let server = Server::start(Kind::MySql, &options);
                login(server.port, "tester", "testpass", None)
                    .unwrap()
                    .query_drop(
                        "SET sql_log_bin = 0; CREATE USER repl IDENTIFIED BY 'r'; \
                         GRANT REPLICATION SLAVE, BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO repl",
                    )
                    .unwrap();
                server
            })
        });
        let group = Self(servers.map(|server| server.join().unwrap()));
        for (number, server) in group.0.iter().enumerate() {
            let first = number == 0;
            let mut admin = login(server.port, "tester", "testpass", None).unwrap();
            admin
                .query_drop(format!(
                    "SET GLOBAL group_replication_bootstrap_group = {first}; START GROUP_REPLICATION USER = 'repl', PASSWORD = 'r'; \
                     SET GLOBAL group_replication_bootstrap_group = FALSE"
                ))
                .unwrap();
            group.wait_for_online(number + 1);
            if first {
                wait_until("the primary is writable", || {
                    (!variables(server.port).2).then_some(())
                });
            }
        }
        group
    }

    /// Waits until so many members are ONLINE, by the word of each of the first so many.
    pub fn wait_for_online(&self, count: usize) {
        for server in &self.0[..count] {
            wait_until("the members are ONLINE", || {
                let online = "SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE MEMBER_STATE = 'ONLINE'";
                let mut admin = login(server.port, "tester", "testpass", None).ok()?;
                (admin.query_first::<usize, _>(online).unwrap() == Some(count)).then_some(())
            });
        }
    }

    /// Has another member elected.
    pub fn make_primary(&self, number: usize) {
        let port = self.0[number - 1].port;
        let mut admin = login(port, "tester", "testpass", None).unwrap();
        let uuid: String = admin.query_first("SELECT @@server_uuid").unwrap().unwrap();
        admin
            .query_drop(format!("SELECT group_replication_set_as_primary('{uuid}')"))
            .unwrap();
        wait_until("it is writable", || (!variables(port).2).then_some(()));
    }
}

#[test]
fn a_primary_that_fails_comes_back_into_its_group_as_a_secondary() {
    let group = Group::start();
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &group.0[0]);
    nodes.is_also(2, &group.0[1], 1);
    nodes.is_also(3, &group.0[2], 1);
    let database = quoted(&nodes.databases[0]);
    let has_account = |number: usize| {
        wait_until("the account is there", || nodes.log_in(number).ok());
    };
    (2..=3).for_each(has_account);
    let before = nodes.states();
    for round in 0..2 {
        let primary = round + 1;
        let name = primary.to_string();
        let mut program = if round == 0 {
            nodes.fail(&[&name])
        } else {
            let program = nodes.start(&[&name, "--for", "3s"]);
            program.wait_for(&offline(primary));
            program
        };
        nodes.assert_offline(primary);
        // The application writes to the next one.
        group.make_primary(primary + 1);
        nodes.assert_online(primary + 1);
        wait_until("the old one is read-only", || {
            variables(group.0[primary - 1].port).1.then_some(())
        });
        let began = Instant::now();
        if round == 0 {
            program.answer("Y\n");
            program.end().assert_status(0).assert_line(&online(primary));
            assert!(
                began.elapsed() < Duration::from_secs(2),
                "{:?}",
                began.elapsed()
            );
        } else {
            program.kill();
            wait_until("it comes back by itself", || {
                (nodes.state(primary) == before[primary - 1]).then_some(())
            });
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{:?}",
                began.elapsed()
            );
        }
        assert_eq!(nodes.states(), before);
        let (_, super_read_only, read_only, _) = variables(group.0[primary - 1].port);
        assert!(super_read_only && read_only);
        group.wait_for_online(3);
        let rows = format!("SELECT COUNT(*) FROM {database}.t");
        let count = |number: usize| nodes.admin(number).query_first::<u64, _>(&rows).unwrap();
        wait_until("all have the same rows", || {
            (count(1) == count(2) && count(2) == count(3)).then_some(())
        });
    }
    // No transaction but the application's and the test's own has come into the group.
    wait_until("all have the same transactions", || {
        let sets = group.0.each_ref().map(|server| variables(server.port).0);
        (sets[0] == sets[1] && sets[1] == sets[2]).then_some(())
    });
}
