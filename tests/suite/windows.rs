//! What is another thing on Windows: its console, its commands, their exit statuses.

use std::time::{Duration, Instant};

use test_case::test_case;

use crate::harness::{Kind, Nodes, PROMPT, console_says, in_a_console, offline, online};

#[test_case(Kind::MySql; "on mysql")]
#[test_case(Kind::MariaDb; "on mariadb")]
#[ignore = "needs the program for Windows: scripts/test windows"]
fn a_window_that_is_closed_brings_the_nodes_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let hangs = "@echo it has started\r\n@ping -n 1000 127.0.0.1 >nul\r\n";
    nodes.folder.write("hangs.cmd", hangs);
    let runs: [(&[&str], &str); 4] = [
        (&["1", "2"], PROMPT),
        (&["1", "2", "--for", "10m"], &offline(2)),
        (&["1", "2", "--method", "revoke"], PROMPT),
        (&["1", "2", "--", r".\hangs"], "it has started"),
    ];
    for (args, shown) in runs {
        for event in ["close", "logoff", "shutdown"] {
            let mut program = in_a_console(&nodes, args, shown);
            for number in [1, 2] {
                program.wait_for(&offline(number));
                nodes.assert_offline(number);
            }
            let began = Instant::now();
            console_says(&nodes, event);
            // Its status nobody asks for any more.
            let finished = program.end();
            // 5 seconds later it would have been ended.
            assert!(began.elapsed() < Duration::from_secs(4), "{event}");
            // Around a command it tells on standard error.
            let told = finished.out + &finished.err;
            for number in [1, 2] {
                assert!(told.contains(&online(number)), "{event}: {told}");
            }
            assert_eq!(nodes.states(), before, "{args:?} {event}");
        }
    }
}

#[test_case(Kind::MySql; "on mysql")]
#[test_case(Kind::MariaDb; "on mariadb")]
#[ignore = "needs the program for Windows: scripts/test windows"]
fn ctrl_c_and_ctrl_break_bring_the_nodes_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    let runs: [(&[&str], &str); 2] = [(&["1"], PROMPT), (&["1", "--for", "10m"], &offline(1))];
    for (args, shown) in runs {
        for event in ["c", "break"] {
            let mut program = in_a_console(&nodes, args, shown);
            console_says(&nodes, event);
            program.end().assert_status(130).assert_line(&online(1));
            assert_eq!(nodes.states(), before, "{args:?} {event}");
        }
    }
}

#[test_case(Kind::MySql; "on mysql")]
#[test_case(Kind::MariaDb; "on mariadb")]
#[ignore = "needs the program for Windows: scripts/test windows"]
fn the_nodes_are_offline_around_a_command(kind: Kind) {
    let nodes = Nodes::local(kind);
    let before = nodes.states();
    nodes.folder.write(
        "asks.cmd",
        "@echo offline: %FAIL_START_NODES%\r\n@exit /b 7\r\n",
    );
    // By its name alone, as npm is started.
    let finished = nodes.run(&["2", "3", "--", r".\asks"], "");
    finished.assert_status(7).assert_line("offline: 2,3");
    let finished = nodes.run(&["2", "--", "no-such-command"], "");
    finished
        .assert_status(127)
        .assert_says("no-such-command: command not found");
    assert_eq!(nodes.states(), before);
}

#[test_case(Kind::MySql; "on mysql")]
#[test_case(Kind::MariaDb; "on mariadb")]
#[ignore = "needs the program for Windows: scripts/test windows"]
fn an_exit_status_of_windows_is_passed_on(kind: Kind) {
    let nodes = Nodes::local(kind);
    for status in ["300", "-1", "-1073741510"] {
        // The drill tells what the one inside of it ends with.
        let drill = [
            "drill",
            "1",
            "--",
            "fail-start",
            "2",
            "--",
            "cmd",
            "/c",
            "exit",
            status,
        ];
        let finished = nodes.run(&drill, "");
        finished.assert_status(125).assert_says(&format!(
            "fails while every node is online (status {status})"
        ));
    }
}

#[test_case(Kind::MySql; "on mysql")]
#[test_case(Kind::MariaDb; "on mariadb")]
#[ignore = "needs the program for Windows: scripts/test windows"]
fn a_command_is_ended_with_all_that_it_has_started(kind: Kind) {
    let nodes = Nodes::local(kind);
    // What it starts would go on, and write.
    nodes.folder.write(
        "late.cmd",
        "@ping -n 6 127.0.0.1 >nul\r\n@echo late >late.txt\r\n",
    );
    let hangs = "@start /b cmd /c late.cmd\r\n@ping -n 1000 127.0.0.1 >nul\r\n";
    nodes.folder.write("hangs.cmd", hangs);
    let finished = nodes.run(&["drill", "1", "--limit", "2s", "--", r".\hangs"], "");
    finished
        .assert_status(125)
        .assert_says("takes too long while every node is online");
    std::thread::sleep(Duration::from_secs(6));
    assert!(!nodes.folder.path().join("late.txt").exists());
}
