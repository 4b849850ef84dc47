//! What programs read, `--json`; what would be done, `--dry-run`; and what a terminal adds.

use mysql::prelude::Queryable;
use serde_json::Value;
use test_case::test_case;

use crate::harness::{
    Finished, Kind, Nodes, Program, Server, command, drop_admin, free_port, held_connection,
    in_a_terminal, own_admin,
};

/// The names of an object's fields, in their order.
fn fields(event: &Value) -> String {
    let names: Vec<&str> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.join(" ")
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_outage_speaks_json_and_nothing_else(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let prefix = nodes.prefix();
        nodes.set(&format!("{prefix}_DB_PASSWORD"), "rootpass");
        let (environment, method) = if prefix == "LOCAL" {
            ("local", "lock")
        } else {
            ("cloud", "revoke")
        };
        let _open = [nodes.log_in(1).unwrap(), nodes.log_in(1).unwrap()];
        let mut program = nodes.start(&["1", "--json", "--method", method]);
        // The question is for people.
        program.wait_for(crate::harness::PROMPT);
        program.wait_for(r#""event":"offline""#);
        nodes.assert_offline(1);
        program.answer("Y\n");
        let finished = program.end();
        finished
            .assert_status(0)
            .assert_says("NODE 1 IS NOW ONLINE");
        let mut events = finished.events();
        // What the watch counts, where that took more than a second.
        events.retain(|event| event["event"] != "turned_away");
        assert_eq!(events.len(), 2, "{}", finished.out);
        assert_eq!(
            fields(&events[0]),
            "event node environment method sessions_ended elapsed_ms time"
        );
        assert_eq!(
            fields(&events[1]),
            "event node environment method offline_ms sessions_ended got_in turned_away elapsed_ms time"
        );
        for (event, name) in events.iter().zip(["offline", "online"]) {
            assert_eq!(event["event"], name);
            assert_eq!(event["node"], 1);
            assert_eq!(event["environment"], environment);
            assert_eq!(event["method"], method);
            assert_eq!(event["sessions_ended"], 2);
            assert!(event["elapsed_ms"].as_f64().unwrap() > 0.0);
            let time = event["time"].as_str().unwrap();
            assert!(
                time.starts_with("20") && time.ends_with('Z') && time.len() == 20,
                "{time}"
            );
        }
        assert_eq!(
            events[1]["turned_away"].as_u64(),
            if kind == Kind::MySql { Some(1) } else { None }
        );
        assert!(!finished.out.contains("rootpass") && !finished.out.contains("testpass"));
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn errors_and_warnings_are_events_too(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_PASSWORD", "wr0ng");
    let finished = nodes.run(&["1", "--json"], "Y\n");
    finished.assert_status(0);
    let warning = &finished.events()[0];
    assert_eq!(fields(warning), "event node environment kind message time");
    assert_eq!(warning["event"], "warning");
    assert_eq!(warning["kind"], "login_not_tried");
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("before the outage")
    );

    nodes.set("TESTER_LOCAL_DB_PASSWORD_NODE2", "wr0ng");
    nodes.reach_by(3, free_port());
    let finished = nodes.run(&["1", "2", "3", "--json"], "");
    finished.assert_status(1);
    let events = finished.events();
    finished.assert_kinds(&["login_refused", "nothing_listens"]);
    for (event, (node, code)) in events.iter().zip([(2, Some(1045)), (3, None)]) {
        assert_eq!(
            fields(event),
            "event node environment kind code message time"
        );
        assert_eq!(
            (&event["event"], &event["node"]),
            (&"error".into(), &node.into())
        );
        assert_eq!(event["code"].as_u64(), code);
    }
    assert!(!finished.out.contains("wr0ng") && !finished.err.contains("wr0ng"));

    nodes.set("LOCAL_DB_SSL_MODE", "rubbish");
    let events = nodes.run(&["1", "--json"], "").events();
    assert_eq!((events.len(), &events[0]["node"]), (1, &Value::Null));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn status_and_recover_speak_json(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["1"]);
    let process = program.id();
    program.kill();
    nodes
        .admin(2)
        .query_drop(format!("ALTER USER {} ACCOUNT LOCK", nodes.account()))
        .unwrap();
    nodes.reach_by(3, free_port());
    let finished = nodes.run(&["status", "--json"], "");
    finished.assert_status(1);
    let events = finished.events();
    let states: Vec<&Value> = events.iter().map(|event| &event["state"]).collect();
    assert_eq!(states, ["offline", "locked", "unreachable"]);
    assert_eq!(
        fields(&events[0]),
        "event node environment state since until by code message time"
    );
    assert_eq!(events[0]["event"], "status");
    assert_eq!(events[0]["by"]["process"], process);
    assert_eq!(events[0]["since"].as_str().unwrap().len(), 20);
    assert_eq!(events[0]["until"], Value::Null);

    let events = nodes.run(&["recover", "1", "--json"], "").events();
    assert_eq!((events.len(), &events[0]["event"]), (1, &"online".into()));
    let events = nodes.run(&["status", "1", "--json"], "").events();
    assert_eq!(events[0]["state"], "online");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_cannot_be_brought_back_gives_its_statements_as_json(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = own_admin(&mut nodes);
    let mut program = nodes.fail(&["1", "--json"]);
    let (mut admin, id) = (nodes.admin(1), held_connection(&nodes, 1, &name));
    admin
        .query_drop(format!(
            "ALTER USER `{name}` IDENTIFIED BY 'another'; KILL {id}"
        ))
        .unwrap();
    program.answer("Y\n");
    let finished = program.end();
    finished.assert_status(3);
    let events = finished.events();
    assert_eq!(
        (&events[1]["event"], &events[1]["code"]),
        (&"error".into(), &1045.into())
    );
    assert_eq!(events[2]["event"], "by_hand");
    for statement in events[2]["statements"].as_array().unwrap() {
        admin.query_drop(statement.as_str().unwrap()).unwrap();
    }
    nodes.assert_online(1);
    assert_eq!(nodes.events(1), Vec::<String>::new());
    drop_admin(&nodes, &name);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_dry_run_changes_nothing_and_tells_the_truth(kind: Kind) {
    let server = Server::start(kind, &["--log-bin=binlog", "--server-id=1"]);
    for mut nodes in Nodes::in_both_environments(kind) {
        nodes.move_to(1, &server);
        let before = nodes.states();
        let mut open = [nodes.log_in(1).unwrap(), nodes.log_in(1).unwrap()];
        let log_was = server.log_position();
        let finished = nodes.run(&["1", "2", "--dry-run"], "");
        finished.assert_status(0);
        let version = if kind == Kind::MySql {
            "MySQL 9."
        } else {
            "MariaDB 1"
        };
        assert!(
            finished.out.contains(version) && finished.out.contains("2 sessions would end"),
            "{}",
            finished.out
        );
        assert!(
            !finished.out.contains("OFFLINE") && !finished.out.contains(crate::harness::PROMPT)
        );
        let finished = nodes.run(&["1", "--dry-run", "--json", "--for", "1h"], "");
        let plan = &finished.events().pop().unwrap();
        assert_eq!(
            fields(plan),
            "event node environment method server sessions lifts_read_only out back time"
        );
        assert_eq!(
            (&plan["event"], &plan["sessions"]),
            (&"plan".into(), &2.into())
        );
        assert_eq!(
            (nodes.states(), server.log_position()),
            (before.clone(), log_was)
        );
        for session in &mut open {
            session.write().unwrap();
        }
        // What it says is what would have been done.
        let run = |statements: &Value| {
            let mut admin = nodes.admin(1);
            for statement in statements.as_array().unwrap() {
                admin.query_drop(statement.as_str().unwrap()).unwrap();
            }
        };
        run(&plan["out"]);
        nodes.assert_offline(1);
        run(&plan["back"]);
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_dry_run_fails_where_the_run_would(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.reach_by(2, free_port());
    let finished = nodes.run(&["1", "2", "--dry-run", "--json"], "");
    finished
        .assert_status(1)
        .assert_kinds(&["nothing_listens"])
        .assert_says("error: node 2 (");
    assert_eq!(finished.events().len(), 1, "{}", finished.out);
}

fn run_alone(args: &[&str]) -> Finished {
    Program::start(&mut command(&std::env::temp_dir(), args)).finish()
}

#[test]
fn help_fits_a_screen() {
    for args in [
        &["-h"][..],
        &["--help"],
        &["drill", "-h"],
        &["drill", "--help"],
        &["status", "--help"],
        &["recover", "--help"],
    ] {
        let mut narrow = command(&std::env::temp_dir(), args);
        let help = Program::start(narrow.env("COLUMNS", "80")).finish();
        help.assert_status(0);
        assert!(
            help.out.contains("Usage: ") && help.out.contains("--timeout"),
            "{}",
            help.out
        );
        for line in help.out.lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
        }
        if args == ["-h"] {
            assert!(
                help.out.contains("--for") && help.out.lines().count() <= 24,
                "{}",
                help.out
            );
        }
    }
}

#[test]
fn what_is_mistyped_is_suggested() {
    for (typed, meant) in [
        (&["statsu"][..], "did you mean fail-start status?"),
        (&["recovr", "1"], "did you mean fail-start recover?"),
        (&["1", "--metod", "lock"], "did you mean --method?"),
        (&["7"], "there is no node 7 (nodes: 1, 2, 3)"),
        (
            &["1", "--json", "--", "true"],
            "--json cannot be used with a command",
        ),
        (&["status", "--for", "3s"], "--for"),
        (&["drlil", "1"], "did you mean fail-start drill?"),
        (
            &["drill", "1"],
            "which command? example: fail-start drill 1 -- make test",
        ),
        (&["1", "drill", "--", "true"], "drill comes first"),
        (&["--for", "3s", "drill", "--", "true"], "go behind drill"),
        (
            &["drill", "--at-once", "0", "--", "true"],
            "--at-once takes how many nodes, 1 or more",
        ),
        (
            &["drill", "--limit", "0s", "--", "true"],
            "--limit takes 1ms to 1d",
        ),
        (&["drill", "7", "--", "true"], "there is no node 7"),
        (&["1", "--for", "0s"], "--for takes 1ms to 30d"),
        (&["1", "--for", "400d"], "--for takes 1ms to 30d"),
        (&["1", "--for=-5s"], "--for takes a duration such as 30s"),
        (
            &["1", "--for", "soon"],
            "--for takes a duration such as 30s",
        ),
    ] {
        run_alone(typed).assert_status(2).assert_says(meant);
    }
}

#[test]
fn completions_and_the_manual_page_are_made_from_the_same_definition() {
    // What a shell's script asks for when Tab is pressed; shells:: presses it.
    for (words, offered) in [
        (&["__offer", ""][..], &["status", "recover", "drill"][..]),
        (
            &["__offer", "1", "--"],
            &["--keep-sessions", "--lift-read-only"],
        ),
        (
            &["__offer", "drill", "--"],
            &["--at-once", "--keep-sessions", "--lift-read-only"],
        ),
    ] {
        let offers = run_alone(words);
        offers.assert_status(0);
        let words: Vec<&str> = offers
            .out
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        assert!(offered.iter().all(|one| words.contains(one)), "{words:?}");
    }
    let manual = run_alone(&["man"]);
    manual.assert_status(0);
    for text in [
        ".TH FAIL-START 1",
        "keep\\-sessions",
        "fail\\-start drill",
        "at\\-once",
    ] {
        assert!(manual.out.contains(text), "{text}: {}", manual.out);
    }
}

#[test]
fn only_a_terminal_gets_colour_and_control_characters_reach_nobody() {
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.set("LOCAL_DB_USER", "a\u{1b}[31mb\u{202e}");
    let finished = nodes.run(&["1"], "");
    finished
        .assert_status(1)
        .assert_says("no account named 'a\\u{1b}[31mb\\u{202e}'");
    assert!(!finished.err.contains('\u{1b}'), "{}", finished.err);

    let red = "\u{1b}[1m\u{1b}[31merror:";
    let coloured = in_a_terminal(&nodes, "", "1").finish();
    assert!(coloured.out.contains(red), "{}", coloured.out);
    let plain = in_a_terminal(&nodes, "NO_COLOR=1", "1").finish();
    assert!(plain.out.contains("error: node 1"), "{}", plain.out);
    assert!(!plain.out.contains('\u{1b}'), "{}", plain.out);
}
