//! The drill: a command is run before, during and after the loss of each set of nodes.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use serde_json::{Value, json};
use test_case::test_case;

use crate::documents::code_block;
use crate::harness::{
    Finished, Kind, Nodes, Program, Server, drop_admin, file, free_port, in_a_terminal, is_alive,
    kill, own_admin, run_by_hand, wait_until, without_terminal,
};
use crate::proxy::Proxy;

/// Says what it is run for, and ends with the status that it is told.
const ASKS: &str =
    "echo \"$FAIL_START_PHASE:$FAIL_START_NODES\"; read status; exit \"${status:-0}\"";

/// Fails while node 2, by itself, is offline.
const FAILS_WITHOUT_2: &str = "echo \"it is $FAIL_START_PHASE:$FAIL_START_NODES\"; echo oops >&2; \
     [ \"$FAIL_START_NODES\" != 2 ] || exit 7";

/// What the command says, in its order, where there are so many nodes and pairs.
const OF_THREE: [&str; 7] = [
    "before:",
    "offline:1",
    "back:",
    "offline:2",
    "back:",
    "offline:3",
    "back:",
];

impl Finished {
    /// The table without the times, a line a set.
    fn table(&self) -> Vec<String> {
        let lines = self
            .err
            .lines()
            .skip_while(|line| !line.starts_with("offline  "));
        let lines = lines
            .skip(1)
            .take_while(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let is_time = |word: &&str| word.contains('.') && word.ends_with('s');
        let lines = lines.filter(|line| !line.contains("runs failed"));
        lines
            .map(|line| {
                let words = line.split_whitespace().filter(|word| !is_time(word));
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    #[track_caller]
    fn assert_table(&self, lines: &[&str]) -> &Self {
        assert_eq!(self.table(), lines, "{}", self.err);
        self
    }
}

/// The numbers of a set, such as `1,2`.
fn numbers(set: &str) -> Vec<usize> {
    set.split(',')
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn each_set_of_nodes_is_lost_and_comes_back_and_the_command_is_told(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        // A number that is given twice counts once, and the order is the user's.
        let mut program = nodes.start(&[
            "drill",
            "3",
            "1",
            "3",
            "--at-once",
            "2",
            "--",
            "sh",
            "-c",
            ASKS,
        ]);
        let mut expected = String::new();
        for said in [
            "before:",
            "offline:3",
            "back:",
            "offline:1",
            "back:",
            "offline:3,1",
            "back:",
        ] {
            expected = [&expected, said, "\n"].concat();
            program.until(|out| *out == expected);
            let offline = numbers(said.split_once(':').unwrap().1);
            for number in 1..=3 {
                if offline.contains(&number) {
                    nodes.assert_offline(number);
                } else {
                    nodes.assert_online(number);
                }
            }
            program.answer("0\n");
        }
        let finished = program.end();
        finished.assert_status(0).assert_says("0 of 7 runs failed");
        assert_eq!(finished.out, expected);
        let title = |line: &&str| line.starts_with("==> ");
        let titles: Vec<&str> = finished.err.lines().filter(title).collect();
        assert_eq!(
            titles,
            [
                "==> before",
                "==> offline 3: while offline",
                "==> offline 3: when back",
                "==> offline 1: while offline",
                "==> offline 1: when back",
                "==> offline 3 1: while offline",
                "==> offline 3 1: when back",
            ]
        );
        finished.assert_table(&["3 passed passed", "1 passed passed", "3 1 passed passed"]);
        assert!(
            !finished.err.contains("NOW O") && !finished.err.contains("sessions ended"),
            "{}",
            finished.err
        );
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_run_that_fails_is_shown_and_the_drill_goes_on(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let finished = nodes.run(&["drill", "--", "sh", "-c", FAILS_WITHOUT_2], "");
    finished
        .assert_status(1)
        .assert_says("FAILED 7 after ")
        .assert_says("1 of 7 runs failed");
    finished.assert_table(&["1 passed passed", "2 FAILED 7 passed", "3 passed passed"]);
    let said: Vec<String> = OF_THREE
        .iter()
        .map(|said| format!("it is {said}"))
        .collect();
    assert_eq!(finished.out.lines().collect::<Vec<_>>(), said);
    assert_eq!(finished.err.matches("oops").count(), 7);

    let finished = nodes.run(
        &["drill", "--fail-fast", "--", "sh", "-c", FAILS_WITHOUT_2],
        "",
    );
    finished
        .assert_status(1)
        .assert_table(&["1 passed passed", "2 FAILED 7"]);
    finished.assert_says("1 of 4 runs failed, 1 of 3 sets were not tried");

    let back = "[ \"$FAIL_START_PHASE\" != back ] || kill -9 $$";
    let finished = nodes.run(&["drill", "1", "--", "sh", "-c", back], "");
    finished
        .assert_status(1)
        .assert_table(&["1 passed FAILED 137"]);
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn quiet_shows_the_output_of_failed_runs_alone(kind: Kind) {
    let nodes = Nodes::local(kind);
    let finished = nodes.run(&["drill", "--quiet", "--", "sh", "-c", FAILS_WITHOUT_2], "");
    finished
        .assert_status(1)
        .assert_says("==> offline 2: while offline\nit is offline:2\noops\n");
    assert_eq!(
        (
            finished.err.matches("==>").count(),
            finished.err.matches("oops").count()
        ),
        (1, 1),
        "{}",
        finished.err
    );
    assert_eq!(finished.out, "");
    let nowhere = nodes.folder.path().join("nowhere");
    let mut command = nodes.command(&["drill", "-q", "--", "sh", "-c", FAILS_WITHOUT_2]);
    let finished = Program::start(command.env("TMPDIR", nowhere)).finish();
    finished.assert_status(1).assert_says("check TMPDIR");
    assert_eq!(finished.out.lines().count(), 7);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_run_that_hangs_is_ended_when_its_nodes_are_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let hangs = "[ \"$FAIL_START_NODES\" = 2 ] || exit 0; trap 'echo told; read line; exit 0' TERM; \
                 sleep 1000 >/dev/null 2>&1 & echo \"sleeper $!;\"; while :; do sleep 0.05; done";
    // The last deadline of a node is not what ends it here, in the second round it is.
    for options in [&["--limit", "1s"][..], &["--for", "1s"]] {
        let mut program = nodes.start(&[&["drill"], options, &["--", "sh", "-c", hangs]].concat());
        let printed = program.wait_for(";\n");
        let id = printed
            .split_once("sleeper ")
            .unwrap()
            .1
            .split_once(';')
            .unwrap()
            .0;
        program.wait_for("told");
        nodes.assert_online(2);
        program.answer("\n");
        let finished = program.end();
        finished.assert_status(1).assert_table(&[
            "1 passed passed",
            "2 timed out passed",
            "3 passed passed",
        ]);
        finished.assert_says(
            "the command has not ended within 1.0s: the nodes come back, and then it is ended",
        );
        assert!(!is_alive(id), "what it has started goes on");
        assert_eq!(nodes.states(), before);
    }
    let hangs = "[ \"$FAIL_START_PHASE\" != back ] || exec sleep 1000";
    let finished = nodes.run(
        &["drill", "3", "--limit", "500ms", "--", "sh", "-c", hangs],
        "",
    );
    finished
        .assert_status(1)
        .assert_table(&["3 passed timed out"]);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn where_the_command_fails_before_nothing_is_taken_offline(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let mut open = nodes.log_in(1).unwrap();
    let finished = nodes.run(&["drill", "--", "sh", "-c", "echo it fails; exit 4"], "");
    finished.assert_status(125);
    finished.assert_says("error: the command fails while every node is online (status 4): a drill would tell nothing\n");
    assert_eq!(finished.out, "it fails\n");
    let finished = nodes.run(&["drill", "--limit", "300ms", "--", "sleep", "1000"], "");
    finished
        .assert_status(125)
        .assert_says("the command takes too long while every node is online");
    open.write().unwrap();

    // What is wrong with a node is told before anything is run.
    nodes
        .run(&["drill", "--", "no-such-program-here"], "")
        .assert_status(127);
    let odd = file(&nodes, "odd", "#!/no/such/interpreter\n", 0o755);
    nodes
        .run(&["drill", "--", &odd], "")
        .assert_status(127)
        .assert_says("its interpreter was not found");
    let plain = file(&nodes, "plain", "no program", 0o644);
    nodes
        .run(&["drill", "--", &plain], "")
        .assert_status(126)
        .assert_says("permission denied");
    open.write().unwrap();
    nodes.reach_by(3, free_port());
    let finished = nodes.run(&["drill", "--", "echo", "it ran"], "");
    finished.assert_status(125).assert_says("error: node 3 (");
    assert_eq!(finished.out, "");
    open.write().unwrap();
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_cannot_be_taken_offline_ends_the_drill(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let mut program = nodes.start(&[
        "drill", "--json", "--junit", "j.xml", "--", "sh", "-c", ASKS,
    ]);
    program.answer("\n\n");
    program.wait_for("back:\n");
    let mut holder = nodes.fail(&["2"]);
    program.answer("5\n\n\n\n\n");
    let finished = program.end();
    finished
        .assert_status(125)
        .assert_kinds(&["already_offline"]);
    finished.assert_table(&["1 passed FAILED 5", "2 not run"]);
    finished.assert_says("1 of 3 runs failed, 2 of 3 sets were not tried");
    assert_eq!(finished.events().last().unwrap()["outcome"], "not_run");
    let case = &junit(&nodes)[3];
    assert_eq!(case.name.as_str(), "offline 2: while offline");
    assert_error(
        case,
        "the nodes could not be taken offline",
        "offline already",
    );
    let args = ["drill", "--junit", "j.xml", "--", "true"];
    nodes.run(&args, "").assert_status(125);
    let cases = junit(&nodes);
    assert_error(
        &cases[0],
        "the nodes did not pass the check",
        "offline already",
    );
    holder.answer("Y\n");
    holder.end().assert_status(0);
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_node_that_does_not_come_back_ends_the_drill_with_its_statements(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let name = own_admin(&mut nodes);
    let mut program = nodes.start(&["drill", "--junit", "j.xml", "--", "sh", "-c", ASKS]);
    program.answer("\n");
    program.wait_for("offline:1\n");
    let mut admin = nodes.admin(1);
    admin
        .query_drop(format!("ALTER USER `{name}` IDENTIFIED BY 'another'"))
        .unwrap();
    let held = "SELECT ID FROM information_schema.processlist WHERE USER = ?";
    for id in admin.exec::<u64, _, _>(held, (&name,)).unwrap() {
        // One of before may be going just now.
        let _ = admin.query_drop(format!("KILL {id}"));
    }
    program.answer("\n\n\n");
    let finished = program.end();
    finished.assert_status(3).assert_says("): not back: ");
    finished
        .assert_table(&["1 passed not run"])
        .assert_says("0 of 2 runs failed, 2 of 3 sets were not tried");
    assert_eq!(finished.out, "before:\noffline:1\n");
    let cases = junit(&nodes);
    assert_eq!(cases.len(), 3);
    assert_error(
        &cases[2],
        "a node could not be brought back",
        "): not back: ",
    );
    run_by_hand(&nodes, 1, &finished);
    nodes.assert_online(1);
    drop_admin(&nodes, &name);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_run_does_not_pass_whose_node_somebody_brought_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let recover = format!(
        "[ $FAIL_START_PHASE != offline ] || {} recover 1 >/dev/null",
        env!("CARGO_BIN_EXE_fail-start")
    );
    let drill = ["drill", "1", "--json", "--junit", "j.xml", "--", "sh", "-c"];
    let finished = nodes.run(&[&drill[..], &[&recover]].concat(), "");
    finished
        .assert_status(1)
        .assert_table(&["1 not offline passed"])
        .assert_says("1 of 3 runs failed");
    let outcomes = finished.events().into_iter();
    let outcomes: Vec<_> = outcomes.filter(|event| event["event"] == "run").collect();
    assert_eq!(outcomes[1]["outcome"], "not_offline");
    let cases = junit(&nodes);
    assert_error(&cases[1], "a node was brought back meanwhile", "");
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
fn junit_has_an_error_where_the_command_cannot_be_run(kind: Kind) {
    let nodes = Nodes::local(kind);
    let odd = file(&nodes, "odd", "#!/no/such/interpreter\n", 0o755);
    for (command, told) in [
        ("no-such-program-here", "no-such-program-here"),
        (&odd, "its interpreter was not found"),
    ] {
        std::fs::write(nodes.folder.path().join("j.xml"), "of an earlier drill").unwrap();
        nodes
            .run(&["drill", "--junit", "j.xml", "--", command], "")
            .assert_status(127);
        assert_error(&junit(&nodes)[0], "the command could not be run", told);
    }
    // Of a later run it is told there, and there alone.
    let gone = file(&nodes, "gone", "#!/bin/sh\nrm \"$0\"\n", 0o755);
    nodes
        .run(&["drill", "1", "--junit", "j.xml", "--", &gone], "")
        .assert_status(1);
    let told = |case: &TestCase| match &case.status {
        TestCaseStatus::NonSuccess { description, .. } => description.clone(),
        _ => None,
    };
    let cases = junit(&nodes);
    let told: Vec<_> = cases.iter().map(told).collect();
    assert_eq!(told[0], None);
    for told in &told[1..] {
        let lines = told.as_ref().unwrap().lines().count();
        assert!(
            lines == 1 && told.as_ref().unwrap().contains("gone"),
            "{told:?}"
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
fn junit_is_there_though_the_command_has_cleaned_its_folder(kind: Kind) {
    let nodes = Nodes::local(kind);
    for cleans in ["rm -rf out", "rm -rf out; mkdir out", "rm out/j.xml"] {
        std::fs::create_dir_all(nodes.folder.path().join("out")).unwrap();
        let drill = ["drill", "1", "--junit", "out/j.xml", "--", "sh", "-c"];
        let finished = nodes.run(&[&drill[..], &[cleans]].concat(), "");
        let xml = nodes.folder.path().join("out/j.xml");
        assert!(xml.exists(), "{cleans}: {}", finished.err);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_signal_in_any_phase_ends_the_drill_with_what_is_known(kind: Kind) {
    for nodes in Nodes::in_both_environments(kind) {
        let before = nodes.states();
        let asks = ASKS.replace("read", "trap 'exit 3' INT TERM HUP; read");
        for (signal, answered) in [
            ("INT", 0),
            ("TERM", 1),
            ("HUP", 2),
            ("INT", 3),
            ("TERM", 0),
            ("INT", 1),
        ] {
            let mut program =
                without_terminal(&nodes, &["drill", "1", "2", "--", "sh", "-c", &asks]);
            program.answer(&"\n".repeat(answered));
            program.wait_for_nth(":", 1);
            program.until(|out| out.lines().count() == answered + 1);
            program.signal(signal);
            let finished = program.end();
            finished.assert_status(130).assert_says("interrupted");
            let table: &[&str] = match answered {
                0 => &[],
                1 => &["1 interrupted"],
                2 => &["1 passed interrupted"],
                _ => &["1 passed passed", "2 interrupted"],
            };
            finished.assert_table(table);
            assert!(!finished.err.contains("FAILED"), "{}", finished.err);
            assert_eq!(nodes.states(), before);
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn ctrl_c_ends_the_command_and_the_drill(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    for phase in ["before", "offline", "back"] {
        let script =
            format!("[ $FAIL_START_PHASE != {phase} ] || {{ echo started; exec sleep 1000; }}");
        nodes.folder.write("script.sh", script);
        let mut program = in_a_terminal(&nodes, "", "drill 1 2 -- sh script.sh");
        program.wait_for("started");
        program.answer("\u{3}");
        program.end().assert_status(130);
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_second_ctrl_c_ends_a_command_that_ignores_the_first(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let ignores =
        "[ $FAIL_START_PHASE = before ] || { trap '' INT; echo started; exec sleep 1000; }";
    let mut program = without_terminal(&nodes, &["drill", "1", "2", "--", "sh", "-c", ignores]);
    program.wait_for("started");
    let began = Instant::now();
    let finished = program.end_by_signals("INT");
    finished
        .assert_status(130)
        .assert_says("ending the command by force")
        .assert_table(&["1 interrupted"]);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_second_interrupt_on_the_way_back_leaves_at_once_with_the_statements(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let proxy = Proxy::to(nodes.port(2));
        nodes.reach_by(2, proxy.port);
        let before = nodes.states();
        let sets = ["drill", "--json", "--at-once", "2", "2", "1"];
        let mut program = nodes.start(&[&sets[..], &["--", "sh", "-c", ASKS]].concat());
        program.answer("\n\n\n\n\n");
        program.wait_for("offline:2,1\n");
        proxy.set_silent(true);
        program.answer("\n");
        // The command has ended by then.
        wait_until("node 1 is back", || nodes.log_in(1).ok());
        let finished = program.end_by_signals("INT");
        finished.assert_status(3).assert_last_kind("left_early");
        finished.assert_table(&["2 passed passed", "1 passed passed", "2 1 passed"]);
        assert!(
            !finished.err.contains("to bring node 1"),
            "node 1 is back: {}",
            finished.err
        );
        run_by_hand(&nodes, 2, &finished);
        assert_eq!(nodes.states(), before);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_interrupt_at_any_moment_of_a_drill_leaves_nothing_behind(kind: Kind) {
    for mut nodes in Nodes::in_both_environments(kind) {
        let proxies = [1, 2].map(|number| {
            let proxy = Proxy::to(nodes.port(number));
            proxy.set_delay(Duration::from_millis(1));
            nodes.reach_by(number, proxy.port);
            proxy
        });
        let before = nodes.states();
        let round_trips = || proxies.iter().map(Proxy::round_trips).sum::<usize>();
        for moment in (0..).step_by(5) {
            let already = round_trips();
            let mut program = nodes.start(&["drill", "1", "2", "--at-once", "2", "--", "true"]);
            program.until(|_| round_trips() >= already + moment);
            let signal = if moment % 2 == 0 { "INT" } else { "TERM" };
            program.signal_if_running(signal);
            let finished = program.end();
            assert!([0, 130].contains(&finished.status), "{}", finished.err);
            assert_eq!(
                nodes.states(),
                before,
                "after {moment} requests: {}",
                finished.err
            );
            if finished.status == 0 {
                assert!(moment > 50, "only {moment} requests");
                break;
            }
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn killed_in_the_middle_of_a_drill_the_servers_keep_the_deadline(kind: Kind) {
    let servers = [1, 2].map(|_| Server::start(kind, &["--event-scheduler=ON"]));
    for mut nodes in Nodes::in_both_environments(kind) {
        nodes.move_to(1, &servers[0]);
        nodes.move_to(2, &servers[1]);
        let before = nodes.states();
        let mut program = nodes.start(&[
            "drill",
            "1",
            "2",
            "--at-once",
            "2",
            "--for",
            "1s",
            "--",
            "sh",
            "-c",
            ASKS,
        ]);
        program.answer("\n\n\n\n\n");
        program.wait_for("offline:1,2\n");
        nodes.assert_offline(1);
        nodes.assert_offline(2);
        program.signal("KILL");
        // The command is still there, and holds the program's output open.
        program.finish().assert_status(137);
        wait_until("the servers bring them back", || {
            (nodes.states() == before).then_some(())
        });
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_drill_speaks_json_and_writes_junit(kind: Kind) {
    let nodes = Nodes::local(kind);
    let odd = format!("printf '\\033[31m<&]]>\\n'; {FAILS_WITHOUT_2}");
    let finished = nodes.run(
        &[
            "drill",
            "2",
            "3",
            "--at-once",
            "2",
            "--json",
            "--quiet",
            "--junit",
            "j.xml",
            "--",
            "sh",
            "-c",
            &odd,
        ],
        "",
    );
    finished.assert_status(1).assert_table(&[
        "2 FAILED 7 passed",
        "3 passed passed",
        "2 3 passed passed",
    ]);
    let events = finished.events();
    let runs: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "run")
        .collect();
    let told = runs
        .iter()
        .map(|run| json!([run["offline"], run["phase"], run["outcome"], run["status"]]));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            json!([[], "before", "passed", 0]),
            json!([[2], "offline", "failed", 7]),
            json!([[2], "back", "passed", 0]),
            json!([[3], "offline", "passed", 0]),
            json!([[3], "back", "passed", 0]),
            json!([[2, 3], "offline", "passed", 0]),
            json!([[2, 3], "back", "passed", 0]),
        ]
    );
    assert!(
        runs.iter()
            .all(|run| run["elapsed_ms"].as_f64() > Some(0.0))
    );
    let of_nodes = events.iter().filter(|event| event["event"] == "online");
    assert_eq!(
        of_nodes
            .map(|event| event["node"].as_u64().unwrap())
            .collect::<Vec<_>>()[..2],
        [2, 3]
    );

    let cases = junit(&nodes);
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "before",
            "offline 2: while offline",
            "offline 2: when back",
            "offline 3: while offline",
            "offline 3: when back",
            "offline 2 3: while offline",
            "offline 2 3: when back",
        ]
    );
    for (at, case) in cases.iter().enumerate() {
        assert_eq!(
            matches!(case.status, TestCaseStatus::Success { .. }),
            at != 1,
            "{case:?}"
        );
    }
    let output = cases[1].system_out.as_ref().unwrap().as_str();
    assert!(
        output.contains("<&]]>") && output.contains("it is offline:2\noops"),
        "{output}"
    );

    // Without --quiet the output is live, and standard output is not the command's.
    let finished = nodes.run(
        &["drill", "2", "--json", "--", "sh", "-c", FAILS_WITHOUT_2],
        "",
    );
    assert!(finished.events().len() >= 3);
    finished.assert_status(1).assert_says("it is offline:2");
    let finished = nodes.run(&["drill", "--junit", "no/such/j.xml", "--", "true"], "");
    finished
        .assert_status(2)
        .assert_says("cannot write no/such/j.xml: no such folder");
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_dry_run_of_a_drill_names_the_sets_and_runs_nothing(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let mut open = nodes.log_in(1).unwrap();
    let finished = nodes.run(
        &[
            "drill",
            "--dry-run",
            "--at-once",
            "2",
            "--",
            "echo",
            "it ran",
        ],
        "",
    );
    finished.assert_status(0);
    finished.assert_line("would run the command 13 times: before, and while offline and when back for each of: 1, 2, 3, 1 2, 1 3, 2 3");
    let finished = nodes.run(
        &[
            "drill",
            "1",
            "2",
            "--dry-run",
            "--json",
            "--",
            "echo",
            "it ran",
        ],
        "",
    );
    assert_eq!(finished.events().last().unwrap()["sets"], json!([[1], [2]]));
    open.write().unwrap();
    // The same database twice is one node.
    nodes.reach_by(2, nodes.port(1));
    nodes.set("LOCAL_DB_NAME_NODE2", &nodes.databases[0].clone());
    for more in [&[][..], &["--dry-run"]] {
        let finished = nodes.run(
            &[
                &["drill", "1", "2", "--json"],
                more,
                &["--", "echo", "it ran"],
            ]
            .concat(),
            "",
        );
        finished
            .assert_kinds(&["same_database"])
            .assert_says("as node 1");
        assert_eq!(
            (finished.err.contains("it ran"), finished.status),
            (false, if more.is_empty() { 125 } else { 1 })
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn what_one_run_leaves_in_the_background_does_not_disturb_the_next(kind: Kind) {
    let nodes = Nodes::local(kind);
    // One that ends in the middle of the next run.
    let script = "sleep 0.45 >/dev/null 2>&1 & echo begins; sleep 0.3; echo ends";
    let finished = nodes.run(&["drill", "1", "2", "--", "sh", "-c", script], "");
    finished.assert_status(0);
    assert_eq!(finished.out, "begins\nends\n".repeat(5));
    // One that goes on for long, and one whose end comes just when another run's does.
    let script =
        "sleep 1000 >/dev/null 2>&1 & echo \"is $!;\"; sleep 0.02 >/dev/null 2>&1 & exit 0";
    let mut program = nodes.start(&["drill", "--at-once", "3", "--", "sh", "-c", script]);
    let finished = program.end();
    let left: Vec<&str> = finished
        .out
        .split("is ")
        .skip(1)
        .map(|rest| &rest[..rest.find(';').unwrap()])
        .collect();
    let alive = left.iter().filter(|id| is_alive(id)).count();
    for id in &left {
        kill(id);
    }
    finished.assert_status(0).assert_says("0 of 15 runs failed");
    assert_eq!((left.len(), alive), (15, 15));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_readmes_drill_finds_the_fault_and_passes_when_it_is_mended(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let program = nodes.command(&[]).get_program().to_owned();
    let link = |to: &std::path::Path, name: &str| {
        std::os::unix::fs::symlink(to, nodes.folder.path().join(name)).unwrap();
    };
    link(program.as_ref(), "fail-start");
    link("/usr/bin/python3".as_ref(), "python3");
    link(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests").as_ref(),
        "tests",
    );
    let path = format!("{}:/bin", nodes.folder.path().display());
    // Each command of it, and the table that it is said to print.
    let fault = code_block("console", "$ ORDERS_REPLAY=no");
    let mended = code_block("console", "$ fail-start drill --quiet --at-once 2");
    for (example, status) in [(fault, 1), (mended, 0)] {
        let shown = example.strip_prefix("$ ").unwrap();
        let (typed, printed) = shown.split_once('\n').unwrap();
        let mut command = std::process::Command::new("bash");
        command.args(["-c", typed]).current_dir(nodes.folder.path());
        command
            .env_clear()
            .env("PATH", &path)
            .env("TMPDIR", nodes.folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        // The application has the same settings.
        let finished = Program::start(command.envs(&nodes.variables)).finish();
        finished.assert_status(status);
        let readme = Finished {
            status,
            out: String::new(),
            err: printed.to_owned(),
        };
        assert_eq!(finished.table(), readme.table(), "{}", finished.err);
        let what = |finished: &Finished| {
            let lines = finished.err.lines().filter(|line| {
                line.starts_with("orders are lost") || line.ends_with("runs failed")
            });
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(what(&finished), what(&readme));
    }
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn warnings_of_a_drill_are_told_once(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    nodes.set("LOCAL_DB_PASSWORD", "wr0ng");
    let finished = nodes.run(&["drill", "--json", "--at-once", "2", "--", "true"], "");
    finished
        .assert_status(0)
        .assert_kinds(&["login_not_tried"; 3]);
}

/// What a reader of JUnit XML gets.
/// An error of this message, with what was told of it.
fn assert_error(case: &TestCase, wanted: &str, told: &str) {
    let TestCaseStatus::NonSuccess {
        kind,
        message,
        description,
        ..
    } = &case.status
    else {
        panic!("{case:?}");
    };
    assert_eq!(*kind, NonSuccessKind::Error);
    assert_eq!(message.as_deref(), Some(wanted));
    let description = description.as_deref().unwrap_or_default();
    assert!(description.contains(told), "{case:?}");
}

fn junit(nodes: &Nodes) -> Vec<TestCase> {
    let text = std::fs::read_to_string(nodes.folder.path().join("j.xml")).unwrap();
    let report = Report::deserialize_from_str(&text).unwrap();
    let suite = &report.test_suites[0];
    let failed = |case: &&TestCase| !matches!(case.status, TestCaseStatus::Success { .. });
    assert_eq!(report.tests, suite.test_cases.len());
    assert_eq!(
        report.failures + report.errors,
        suite.test_cases.iter().filter(failed).count()
    );
    suite.test_cases.clone()
}
