//! Whatever an account holds on a node's database comes back, in every way that a node comes back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use test_case::test_case;

use crate::harness::{
    Finished, Kind, Nodes, PROMPT, Program, Server, TempDir, command, drop_admin, login, offline,
    online, own_admin, quoted, wait_until,
};
use crate::proxy::Proxy;

/// The longest time that a node takes to come back.
const RETURN: Duration = Duration::from_secs(2);

/// Random numbers that a seed repeats.
struct Random(u64);

impl Random {
    /// Prints its seed; `SEED` sets it.
    fn new() -> Self {
        let now = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        let seed = std::env::var("SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// At least one of them, each at most once, in any order.
    fn some<'a>(&mut self, all: &[&'a str]) -> Vec<&'a str> {
        let mut left = all.to_vec();
        let count = 1 + self.below(all.len());
        (0..count)
            .map(|_| left.remove(self.below(left.len())))
            .collect()
    }
}

/// Many nodes on one server, each with an account and a database of its own.
struct Many {
    server: Server,
    folder: TempDir,
    count: usize,
}

impl Many {
    fn new(kind: Kind, count: usize) -> Self {
        let many = Self {
            server: Server::start(kind, &["--event-scheduler=ON"]),
            folder: TempDir::new(),
            count,
        };
        let mut env = String::new();
        for number in 1..=count {
            let port = many.server.port;
            write!(
                env,
                "LOCAL_DB_HOST_NODE{number}=127.0.0.1\nLOCAL_DB_PORT_NODE{number}={port}\n\
                 LOCAL_DB_USER_NODE{number}=app{number}\n"
            )
            .unwrap();
        }
        many.folder.write(".env", env);
        let mut admin = many.admin();
        for number in 1..=count {
            let database = format!("node{number}_db");
            admin
                .query_drop(format!(
                    "CREATE DATABASE {database}; USE {database}; CREATE USER app{number} IDENTIFIED BY 'rootpass'; \
                     CREATE TABLE customer (id INT, name INT, mail INT, `odd, (x) ON` INT); \
                     CREATE TABLE orders (id INT, customer INT); CREATE VIEW names AS SELECT id, name FROM customer; \
                     CREATE PROCEDURE p() SELECT 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1"
                ))
                .unwrap();
            match kind {
                Kind::MariaDb => make_package(&mut admin, &database),
                Kind::MySql => admin
                    .query_drop("CREATE LIBRARY l LANGUAGE JAVASCRIPT AS 'export function f() { return 1 }'")
                    .unwrap(),
            }
        }
        many
    }

    fn admin(&self) -> Conn {
        login(self.server.port, "tester", "testpass", None).unwrap()
    }

    /// How many undos there are.
    fn undos(&self) -> u32 {
        let undos = "SELECT COUNT(*) FROM information_schema.EVENTS";
        self.admin().query_first(undos).unwrap().unwrap()
    }

    /// The program on these nodes.
    fn start(&self, words: &[&str], numbers: &[usize], options: &[&str]) -> Program {
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let mut args = words.to_vec();
        args.extend(numbers.iter().map(String::as_str));
        args.extend(options);
        Program::start(&mut command(self.folder.path(), &args))
    }

    /// What each account holds: what the server shows, and for each column what its tables say.
    fn held(&self, numbers: &[usize]) -> BTreeMap<usize, Vec<String>> {
        let mut admin = self.admin();
        numbers
            .iter()
            .map(|&number| (number, held(&mut admin, &format!("app{number}"))))
            .collect()
    }
}

fn make_package(admin: &mut Conn, database: &str) {
    for statement in [
        &format!("USE {database}"),
        "SET sql_mode = ORACLE",
        "CREATE PACKAGE pk AS FUNCTION a RETURN INT; END",
        "CREATE PACKAGE BODY pk AS FUNCTION a RETURN INT AS BEGIN RETURN 1; END; END",
        "SET sql_mode = DEFAULT",
    ] {
        admin.query_drop(statement).unwrap();
    }
}

/// The set of an account's grants, whatever the order in which the server shows them.
fn held(admin: &mut Conn, user: &str) -> Vec<String> {
    let shown: Vec<String> = admin.query(format!("SHOW GRANTS FOR `{user}`")).unwrap();
    let mut held: Vec<String> = shown
        .iter()
        .map(|line| {
            let mut words: Vec<&str> = line.split([' ', ',', '(', ')']).collect();
            words.sort_unstable();
            words.join(" ")
        })
        .collect();
    let tables =
        "SELECT Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE User = ?";
    let columns: Vec<(String, String, String, String)> = admin.exec(tables, (user,)).unwrap();
    held.extend(columns.iter().map(|row| format!("{row:?}")));
    held.sort_unstable();
    held
}

/// Grants that somebody may well make, on one database to one account.
fn random_grants(random: &mut Random, kind: Kind, number: usize) -> Vec<String> {
    let (database, account) = (format!("node{number}_db"), format!("app{number}"));
    let mut grants = Vec::new();
    let mut grant = |random: &mut Random, what: &str, object: &str| {
        let option = if random.chance(4) {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        grants.push(format!("GRANT {what} ON {object} TO {account}{option}"));
    };
    for name in [database.clone(), database.replace('_', "\\_")] {
        if random.chance(3) {
            let what = match random.below(4) {
                0 => "ALL".to_owned(),
                1 => "USAGE".to_owned(),
                _ => random
                    .some(&[
                        "SELECT",
                        "INSERT",
                        "UPDATE",
                        "DELETE",
                        "CREATE",
                        "DROP",
                        "INDEX",
                        "ALTER",
                        "EXECUTE",
                        "CREATE TEMPORARY TABLES",
                        "LOCK TABLES",
                        "CREATE VIEW",
                        "SHOW VIEW",
                        "TRIGGER",
                        "EVENT",
                    ])
                    .join(", "),
            };
            grant(random, &what, &format!("`{name}`.*"));
        }
    }
    for (table, columns) in [
        ("customer", &["id", "name", "mail", "`odd, (x) ON`"][..]),
        ("orders", &["id", "customer"]),
        ("names", &["name", "id"]),
    ] {
        if random.chance(3) {
            continue;
        }
        let mut what: Vec<String> = Vec::new();
        if random.chance(2) {
            let whole = [
                "SELECT",
                "INSERT",
                "DELETE",
                "CREATE VIEW",
                "SHOW VIEW",
                "CREATE",
                "DROP",
                "USAGE",
            ];
            what.extend(random.some(&whole).iter().map(ToString::to_string));
        }
        if what.is_empty() || random.chance(2) {
            for privilege in random.some(&["SELECT", "INSERT", "UPDATE", "REFERENCES"]) {
                what.push(format!("{privilege} ({})", random.some(columns).join(", ")));
            }
        }
        // Made in one statement or in several.
        let parts = if random.chance(2) {
            vec![what.join(", ")]
        } else {
            what
        };
        for what in parts {
            grant(random, &what, &format!("{database}.{table}"));
        }
    }
    let own = match kind {
        Kind::MySql => &["LIBRARY l"][..],
        Kind::MariaDb => &["PACKAGE pk", "PACKAGE BODY pk"],
    };
    for routine in [&["PROCEDURE p", "FUNCTION f"], own].concat() {
        if random.chance(2) {
            let what = random.some(&["EXECUTE", "ALTER ROUTINE"]).join(", ");
            let (routine, name) = routine.rsplit_once(' ').unwrap();
            grant(random, &what, &format!("{routine} {database}.{name}"));
        }
    }
    grants
}

/// How long each of these nodes took to come back.
fn assert_back_soon(finished: &Finished, count: usize) {
    let mut back = 0;
    for line in finished
        .out
        .lines()
        .filter(|line| line.contains("\"online\""))
    {
        let took = line.split("\"elapsed_ms\":").nth(1).unwrap();
        let took: f64 = took.split([',', '}']).next().unwrap().parse().unwrap();
        assert!(took < RETURN.as_secs_f64() * 1e3, "{line}");
        back += 1;
    }
    assert_eq!(back, count, "{finished:?}");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn any_set_of_grants_comes_back_in_every_way(kind: Kind) {
    let mut random = Random::new();
    let many = Many::new(kind, 100);
    let mut admin = many.admin();
    if kind == Kind::MariaDb {
        // Else it would not parse those on packages.
        admin.query_drop("SET sql_mode = ORACLE").unwrap();
    }
    for number in 1..=many.count {
        for grant in random_grants(&mut random, kind, number) {
            admin
                .query_drop(&grant)
                .unwrap_or_else(|error| panic!("{grant}: {error}"));
        }
    }
    for (number, held) in many.held(&(1..=many.count).collect::<Vec<_>>()) {
        if held.len() == 1 {
            // Who holds nothing on the database would get all on it.
            admin
                .query_drop(format!("GRANT SELECT ON node{number}_db.* TO app{number}"))
                .unwrap();
        }
    }
    let numbers: Vec<usize> = (1..=many.count).collect();
    let (by_answer, rest) = numbers.split_at(many.count / 3);
    let (by_recover, by_server) = rest.split_at(rest.len() / 2);
    let before = many.held(&numbers);
    let revoke = ["--method", "revoke", "--json"];
    let taken = |program: &Program, numbers: &[usize]| {
        program.wait_for_nth("\"event\":\"offline\"", numbers.len());
        for (number, held) in many.held(numbers) {
            assert!(held.len() <= 1, "node {number}: {held:?}");
        }
    };

    let mut program = many.start(&[], by_answer, &revoke);
    taken(&program, by_answer);
    program.answer("Y\n");
    let finished = program.end();
    assert_back_soon(finished.assert_status(0), by_answer.len());

    // A guard each, which have to end.
    for _ in 0..3 {
        let deadline = [&revoke[..], &["--for", "100ms"]].concat();
        let finished = many.start(&[], by_answer, &deadline).end();
        assert_back_soon(finished.assert_status(0), by_answer.len());
    }

    let mut program = many.start(&[], by_recover, &revoke);
    taken(&program, by_recover);
    program.kill();
    let finished = many.start(&["recover"], by_recover, &["--json"]).end();
    assert_back_soon(finished.assert_status(0), by_recover.len());

    let mut program = many.start(&[], by_server, &[&revoke[..], &["--for", "100ms"]].concat());
    program.wait_for_nth("\"event\":\"offline\"", by_server.len());
    program.kill();
    let began = Instant::now();
    wait_until("the server has brought them back", || {
        (many.undos() == 0).then_some(())
    });
    // The deadline, what the server waits for the program then, and the second that an event's time
    // is rounded to.
    let due = Duration::from_millis(100 + 5000 + 1000);
    assert!(began.elapsed() < due + RETURN, "{:?}", began.elapsed());

    let after = many.held(&numbers);
    for number in numbers {
        assert_eq!(after[&number], before[&number], "node {number}");
    }
}

/// Runs what the program printed for the only node, as a client told to go on after an error
/// (`--force`).
fn run_by_force(admin: &mut Conn, finished: &Finished) {
    let statements = finished
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("  "));
    for statement in statements {
        match admin.query_drop(statement) {
            Ok(()) | Err(mysql::Error::MySqlError(_)) => {}
            Err(error) => panic!("{statement}: {error}"),
        }
    }
}

/// The ways in which a node comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Answer,
    Recover,
    Hand,
    Server,
}

const WAYS: [Way; 4] = [Way::Answer, Way::Recover, Way::Hand, Way::Server];

/// Takes node 1 offline, does something, and brings it back this way; what the program said before
/// and at the end.
fn out_and_back(
    many: &Many,
    way: Way,
    meanwhile: impl FnOnce(&mut Conn),
) -> (String, Option<Finished>) {
    let mut admin = many.admin();
    let options: &[&str] = match way {
        Way::Server => &["--method", "revoke", "--for", "100ms"],
        _ => &["--method", "revoke", "--json"],
    };
    let mut program = many.start(&[], &[1], options);
    let said = match way {
        Way::Server => program.wait_for(&offline(1)),
        _ => program.wait_for(PROMPT),
    };
    meanwhile(&mut admin);
    let finished = match way {
        Way::Answer => {
            program.answer("Y\n");
            Some(program.end())
        }
        Way::Recover => {
            program.kill();
            Some(many.start(&["recover"], &[1], &["--json"]).end())
        }
        Way::Hand => {
            // Its admin is locked out, so that it can do no more than say what to run.
            let held = "SELECT ID FROM information_schema.processlist WHERE USER = 'tester' AND ID <> CONNECTION_ID()";
            let ids: Vec<u64> = admin.query(held).unwrap();
            admin
                .query_drop("ALTER USER tester IDENTIFIED BY 'another'")
                .unwrap();
            for id in ids {
                let _ = admin.query_drop(format!("KILL {id}"));
            }
            program.answer("Y\n");
            let finished = program.end();
            admin
                .query_drop("ALTER USER tester IDENTIFIED BY 'testpass'")
                .unwrap();
            finished.assert_status(3);
            run_by_force(&mut admin, &finished);
            None
        }
        Way::Server => {
            program.kill();
            None
        }
    };
    wait_until("no undo is left", || (many.undos() == 0).then_some(()));
    (said, finished)
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_ordinary_list_of_columns_comes_back(kind: Kind) {
    let many = Many::new(kind, 1);
    let mut admin = many.admin();
    for columns in [
        "id, name",
        "name, id",
        "id, name, mail",
        "mail, id, name",
        "id",
    ] {
        admin
            .query_drop(format!(
                "GRANT SELECT ({columns}) ON node1_db.customer TO app1"
            ))
            .unwrap();
        for way in [Way::Answer, Way::Recover] {
            let before = many.held(&[1]);
            let began = Instant::now();
            let (_, finished) = out_and_back(&many, way, |_| {});
            finished.unwrap().assert_status(0).assert_says(&online(1));
            assert!(began.elapsed() < RETURN, "{columns}: {:?}", began.elapsed());
            assert_eq!(many.held(&[1]), before);
        }
        admin
            .query_drop("REVOKE ALL PRIVILEGES, GRANT OPTION FROM app1")
            .unwrap();
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
#[allow(clippy::too_many_lines, reason = "one case after the other")]
fn what_a_grant_is_on_may_be_gone(kind: Kind) {
    let many = Many::new(kind, 1);
    let mut gone = vec![
        "ALTER TABLE customer DROP COLUMN mail",
        "RENAME TABLE orders TO orders_of_old",
        "DROP TABLE customers_view_base",
        "DROP USER definer",
        "DROP FUNCTION f",
    ];
    if kind == Kind::MySql {
        gone.push("DROP LIBRARY l");
    }
    for (way, is_known) in WAYS.iter().flat_map(|&way| [(way, true), (way, false)]) {
        let mut admin = many.admin();
        admin
            .query_drop(
                "USE node1_db; CREATE OR REPLACE VIEW names AS SELECT id FROM customer; CREATE USER definer; \
                 GRANT ALL ON node1_db.* TO definer; CREATE TABLE customers_view_base (id INT); \
                 CREATE VIEW broken AS SELECT id FROM customers_view_base; \
                 CREATE DEFINER = definer VIEW nobodys AS SELECT id FROM customer; \
                 GRANT SELECT (id, mail, name), UPDATE (mail), REFERENCES (id) ON customer TO app1; \
                 GRANT SELECT, SELECT (id), INSERT ON orders TO app1; \
                 GRANT SELECT, SELECT (id) ON broken TO app1; GRANT SELECT (id) ON nobodys TO app1; \
                 GRANT SELECT ON names TO app1; GRANT EXECUTE ON PROCEDURE p TO app1; GRANT EXECUTE ON FUNCTION f TO app1",
            )
            .unwrap();
        if kind == Kind::MySql {
            admin
                .query_drop("GRANT EXECUTE ON LIBRARY l TO app1")
                .unwrap();
        }
        let make_gone = |admin: &mut Conn| {
            admin.query_drop("USE node1_db").unwrap();
            for statement in &gone {
                admin.query_drop(statement).unwrap();
            }
        };
        if is_known {
            make_gone(&mut admin);
            let finished = many
                .start(&[], &[1], &["--method", "revoke", "--dry-run", "--json"])
                .end();
            finished
                .assert_status(0)
                .assert_kinds(&["grant_not_restorable"; 4])
                .assert_says("(`mail`) ON `node1_db`.`customer`, which")
                .assert_says("`orders`, which");
        }
        let (said, finished) = out_and_back(&many, way, |admin| {
            if !is_known {
                make_gone(admin);
            }
        });
        // MySQL shows no column of a view that is broken, and each column of one whose definer is
        // gone.
        for lost in [
            "(`mail`)",
            "SELECT (`id`) ON `node1_db`.`broken`",
            "SELECT ON `node1_db`.`orders`",
        ] {
            let lost = if lost.contains("orders") {
                "`orders`"
            } else {
                lost
            };
            let known = said
                .lines()
                .any(|line| line.starts_with("warning") && line.contains(lost));
            assert_eq!(known, is_known, "{way:?} {lost}: {said}");
            if let Some(finished) = &finished {
                finished
                    .assert_status(0)
                    .assert_last_kind("grant_lost")
                    .assert_says(lost)
                    .assert_says(&online(1));
                finished.assert_says("`nobodys`");
                // With a routine the server drops the grants on it.
                if !is_known {
                    finished.assert_says("EXECUTE ON FUNCTION `node1_db`.`f`");
                }
                if !is_known && kind == Kind::MySql {
                    finished.assert_says("EXECUTE ON LIBRARY `node1_db`.`l`");
                }
            }
        }
        let mut admin = many.admin();
        let mut after: Vec<String> = admin.query("SHOW GRANTS FOR app1").unwrap();
        after.retain(|line| !line.starts_with("GRANT USAGE ON *.*"));
        let columns = "SELECT CONCAT(Table_name, '.', Column_name, ' ', Column_priv) FROM mysql.columns_priv \
                       WHERE User = 'app1' ORDER BY 1";
        assert_eq!(
            admin.query::<String, _>(columns).unwrap(),
            ["customer.id Select,References", "customer.name Select"],
            "{way:?}"
        );
        assert_eq!(after.len(), 4, "{way:?}: {after:?}");
        for kept in [
            "`customer`",
            "GRANT SELECT ON `node1_db`.`broken`",
            "GRANT SELECT ON `node1_db`.`names`",
            "PROCEDURE",
        ] {
            assert!(
                after.iter().any(|line| line.contains(kept)),
                "{way:?}: {kept} is not in {after:?}"
            );
        }
        admin
            .query_drop(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM app1; USE node1_db; ALTER TABLE customer ADD COLUMN mail INT; \
                 RENAME TABLE orders_of_old TO orders; DROP VIEW broken, nobodys; \
                 CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
            )
            .unwrap();
        if kind == Kind::MySql {
            admin
                .query_drop(
                    "CREATE LIBRARY l LANGUAGE JAVASCRIPT AS 'export function f() { return 1 }'",
                )
                .unwrap();
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_error_that_only_looks_like_something_gone_is_none(kind: Kind) {
    let many = Many::new(kind, 1);
    let mut admin = many.admin();
    admin
        .query_drop("GRANT SELECT ON node1_db.* TO app1; GRANT SELECT ON node1_db.customer TO app1")
        .unwrap();
    let before = many.held(&[1]);
    let mut program = many.start(&[], &[1], &["--method", "revoke", "--json"]);
    program.wait_for(PROMPT);
    // Error 1146, of the server's own table.
    admin
        .query_drop("RENAME TABLE mysql.db TO mysql.away")
        .unwrap();
    program.answer("Y\n");
    program.wait_for_kind("retrying");
    admin
        .query_drop("RENAME TABLE mysql.away TO mysql.db")
        .unwrap();
    let finished = program.end();
    finished
        .assert_status(0)
        .assert_last_kind("retrying")
        .assert_says(&online(1));
    assert_eq!(many.held(&[1]), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_server_gives_what_it_can_and_tries_the_rest_again(kind: Kind) {
    let many = Many::new(kind, 1);
    let mut admin = many.admin();
    admin
        .query_drop("USE node1_db; CREATE TABLE base (id INT) ENGINE = MyISAM; CREATE TABLE a_merged (id INT) ENGINE = MERGE UNION = (base); \
             GRANT SELECT (id) ON a_merged TO app1; GRANT SELECT (id) ON customer TO app1")
        .unwrap();
    let before = many.held(&[1]);
    let mut program = many.start(&[], &[1], &["--method", "revoke", "--for", "100ms"]);
    program.wait_for(&offline(1));
    program.kill();
    // Error 1168: the table is there and does not work.
    admin.query_drop("RENAME TABLE base TO away").unwrap();
    wait_until("the column is back", || {
        (held(&mut admin, "app1").len() > 1).then_some(())
    });
    assert_ne!(many.held(&[1]), before);
    assert_eq!(many.undos(), 1);
    admin.query_drop("RENAME TABLE away TO base").unwrap();
    wait_until("all is back", || (many.undos() == 0).then_some(()));
    assert_eq!(many.held(&[1]), before);
    // The program looks, and does not wait for that.
    let (_, finished) = out_and_back(&many, Way::Answer, |admin| {
        admin
            .query_drop("RENAME TABLE node1_db.base TO node1_db.away")
            .unwrap();
    });
    finished
        .unwrap()
        .assert_status(0)
        .assert_kinds(&["grant_lost"])
        .assert_says("SELECT (`id`) ON `node1_db`.`a_merged`");
}

#[test]
fn grants_on_packages_come_back_in_every_way() {
    let many = Many::new(Kind::MariaDb, 1);
    let mut admin = many.admin();
    for statement in [
        "SET sql_mode = ORACLE",
        "GRANT EXECUTE ON PACKAGE node1_db.pk TO app1",
        "GRANT EXECUTE, ALTER ROUTINE ON PACKAGE BODY node1_db.pk TO app1 WITH GRANT OPTION",
    ] {
        admin.query_drop(statement).unwrap();
    }
    let before = many.held(&[1]);
    for way in WAYS {
        let (_, finished) = out_and_back(&many, way, |admin| {
            assert_eq!(held(admin, "app1").len(), 1);
        });
        if let Some(finished) = finished {
            finished.assert_status(0);
        }
        assert_eq!(many.held(&[1]), before, "{way:?}");
    }
    let (_, finished) = out_and_back(&many, Way::Recover, |admin| {
        admin.query_drop("SET sql_mode = ORACLE").unwrap();
        admin.query_drop("DROP PACKAGE node1_db.pk").unwrap();
    });
    finished
        .unwrap()
        .assert_status(0)
        .assert_kinds(&["grant_lost"; 2])
        .assert_says("EXECUTE ON PACKAGE `node1_db`.`pk`");
}

#[test]
fn with_partial_revokes_a_database_has_one_name() {
    let server = Server::start(Kind::MySql, &["--partial-revokes=ON"]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let (mut admin, account) = (nodes.admin(1), nodes.account());
    let database = nodes.databases[0].clone();
    let escaped = database.replace('_', "\\_");
    let pattern = database.replace("node1", "node_");
    // None of these is about the node's database there.
    admin
        .query_drop(format!(
            "GRANT INSERT ON `{escaped}`.* TO {account}; GRANT INSERT ON `{pattern}`.* TO {account}"
        ))
        .unwrap();
    let before = nodes.state(1);
    for way in ["Y", "recover"] {
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        nodes.assert_offline(1);
        if way == "Y" {
            program.answer("Y\n");
            program.end().assert_status(0);
        } else {
            program.kill();
            nodes.run(&["recover", "1"], "").assert_status(0);
        }
        assert_eq!(nodes.state(1), before);
        nodes.assert_online(1);
    }
    // Nothing is left that says how it was.
    let mut program = nodes.fail(&["1", "--method", "revoke"]);
    admin
        .query_drop(format!("DROP EVENT `{database}`.fail_start_undo"))
        .unwrap();
    program.kill();
    let status = nodes.run(&["status", "1"], "");
    assert!(status.out.contains("without grants"), "{status:?}");
    nodes
        .run(&["recover", "1"], "")
        .assert_status(0)
        .assert_line(&online(1));
    nodes.assert_online(1);
    assert_eq!(nodes.state(1), before);
}

/// MySQL gives nothing on a database to one row while another is restricted there.
#[test]
fn what_one_row_holds_globally_is_given_back_before_what_another_holds_there() {
    let server = Server::start(Kind::MySql, &["--partial-revokes=ON"]);
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.move_to(1, &server);
    let (mut admin, user) = (nodes.admin(1), quoted(&nodes.user));
    admin
        .query_drop(format!(
            "CREATE USER {user}@localhost; GRANT SELECT, INSERT ON *.* TO {user}@localhost"
        ))
        .unwrap();
    let mut held = || {
        ["%", "localhost"].map(|host| {
            let show = format!("SHOW GRANTS FOR {user}@'{host}'");
            admin.query::<String, _>(show).unwrap()
        })
    };
    let before = held();
    for way in ["Y", "recover", "deadline"] {
        let mut args = vec!["1", "--method", "revoke"];
        if way == "deadline" {
            args.extend(["--for", "1s"]);
        }
        let mut program = nodes.start(&args);
        program.wait_for("OFFLINE");
        assert_ne!(held(), before);
        if way == "Y" {
            program.answer("Y\n");
            program.end().assert_status(0);
        } else {
            program.kill();
        }
        if way == "recover" {
            nodes.run(&["recover", "1"], "").assert_status(0);
        }
        wait_until("it is back", || nodes.events(1).is_empty().then_some(()));
        assert_eq!(held(), before, "{way}");
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_column_that_is_granted_by_two_spellings_is_refused(kind: Kind) {
    let nodes = Nodes::local(kind);
    let (mut admin, account) = (nodes.admin(1), nodes.account());
    let table = format!("{}.t", quoted(&nodes.databases[0]));
    for grant in ["SELECT (id), REFERENCES (id)", "SELECT (ID)"] {
        let grant = format!("GRANT {grant} ON {table} TO {account}");
        admin.query_drop(grant).unwrap();
    }
    let before = nodes.state(1);
    nodes
        .run(&["1", "--method", "revoke", "--json"], "Y\n")
        .assert_status(1)
        .assert_kinds(&["unknown_grant"])
        .assert_says("by two spellings of its name");
    nodes.run(&["1"], "Y\n").assert_status(0);
    assert_eq!(nodes.state(1), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_admin_with_limits_may_pass_its_privileges_on(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let mut admin = nodes.admin(1);
    let name = format!("lim_{}", nodes.user);
    admin
        .query_drop(format!("CREATE USER `{name}` IDENTIFIED BY 'p'"))
        .unwrap();
    admin
        .query_drop(match kind {
            Kind::MariaDb => format!("GRANT ALL ON *.* TO `{name}` WITH GRANT OPTION MAX_USER_CONNECTIONS 50"),
            Kind::MySql => format!(
                "GRANT ALL ON *.* TO `{name}` WITH GRANT OPTION; ALTER USER `{name}` WITH MAX_USER_CONNECTIONS 50"
            ),
        })
        .unwrap();
    nodes.set("TESTER_LOCAL_DB_USER", &name);
    nodes.set("TESTER_LOCAL_DB_PASSWORD", "p");
    let before = nodes.states();
    nodes
        .run(&["1", "--method", "revoke"], "Y\n")
        .assert_status(0);
    assert_eq!(nodes.states(), before);
    admin.query_drop(format!("DROP USER `{name}`")).unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_server_that_writes_names_in_other_quotes_is_understood(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    // As MySQL 5.7 and TiDB write the account, and any server in a session with ANSI_QUOTES.
    for quote in ["'", "\""] {
        let account = nodes.account();
        let proxy = Proxy::before(&mut nodes);
        let written = account.replace('`', quote);
        // Only SHOW GRANTS: in an event a semicolon follows.
        proxy.rewrite_answers(&format!(" TO {account}"), &format!(" TO {written}"), b';');
        let before = nodes.states();
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        nodes.assert_offline(1);
        assert_eq!(nodes.events(1).len(), 1, "the undo is there");
        program.answer("Y\n");
        assert_eq!(program.end().assert_status(0).err, "");
        assert_eq!(nodes.states(), before);
        nodes.fail(&["1", "--method", "revoke"]).kill();
        nodes.run(&["recover", "1"], "").assert_status(0);
        assert_eq!(nodes.states(), before);
    }
}

#[test]
fn where_a_grant_could_make_an_account_it_may_not() {
    // MySQL before 8.0 makes one for a grant to an account that is gone, unless the session's sql_mode forbids it. This
    // server has no such mode: one of the same length stands for it.
    let mut nodes = Nodes::local(Kind::MySql);
    let name = own_admin(&mut nodes);
    let proxy = Proxy::before(&mut nodes);
    proxy.rewrite("NO_AUTO_CREATE_USER", "STRICT_TRANS_TABLES");
    let mut admin = nodes.admin(1);
    let mut modes = |nodes: &Nodes| {
        let mut program = nodes.fail(&["1", "--method", "revoke"]);
        let session: Option<String> = admin
            .exec_first(
                "SELECT VARIABLE_VALUE FROM performance_schema.variables_by_thread \
                 JOIN performance_schema.threads USING (THREAD_ID) \
                 WHERE PROCESSLIST_USER = ? AND VARIABLE_NAME = 'sql_mode'",
                (&name,),
            )
            .unwrap();
        let undo: Option<String> = admin
            .exec_first(
                "SELECT SQL_MODE FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?",
                (&nodes.databases[0],),
            )
            .unwrap();
        program.answer("Y\n");
        program.end().assert_status(0);
        [session.unwrap(), undo.unwrap()]
    };
    assert_eq!(modes(&nodes), ["", ""], "it has no such mode any more");
    proxy.rewrite("VERSION()", "'5.7.44' ");
    assert_eq!(modes(&nodes), ["STRICT_TRANS_TABLES"; 2]);
    proxy.assert_has_rewritten();
    drop_admin(&nodes, &name);
}

#[test]
fn an_account_row_without_a_host_has_an_undo_too() {
    let nodes = Nodes::local(Kind::MySql);
    let mut admin = nodes.admin(1);
    let (user, database) = (nodes.user.clone(), nodes.databases[0].clone());
    admin
        .query_drop(format!(
            "CREATE USER `{user}`@'' IDENTIFIED BY 'rootpass'; GRANT SELECT ON `{database}`.* TO `{user}`@''"
        ))
        .unwrap();
    let before = nodes.states();
    for method in ["lock", "revoke"] {
        let mut program = nodes.fail(&["1", "--method", method]);
        assert_eq!(nodes.events(1).len(), 1, "the undo is there");
        program.kill();
        nodes.assert_offline(1);
        nodes.run(&["recover", "1"], "").assert_status(0);
        assert_eq!(nodes.states(), before);
        nodes
            .run(&["1", "--method", method], "Y\n")
            .assert_status(0);
        assert_eq!(nodes.states(), before);
    }
}

#[test]
fn a_server_with_ansi_quotes_is_understood() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let server = Server::start(kind, &["--sql-mode=ANSI_QUOTES"]);
        let mut nodes = Nodes::local(kind);
        nodes.move_to(1, &server);
        let mut admin = nodes.admin(1);
        let shown: Row = admin
            .query_first(format!("SHOW GRANTS FOR {}", nodes.account()))
            .unwrap()
            .unwrap();
        assert!(
            shown.get::<String, _>(0).unwrap().contains('"'),
            "{shown:?}"
        );
        let before = nodes.state(1);
        for method in ["lock", "revoke"] {
            nodes.fail(&["1", "--method", method]).kill();
            nodes.assert_offline(1);
            nodes.run(&["recover", "1"], "").assert_status(0);
            assert_eq!(nodes.state(1), before);
            nodes
                .run(&["1", "--method", method], "Y\n")
                .assert_status(0);
            assert_eq!(nodes.state(1), before);
        }
    }
}
