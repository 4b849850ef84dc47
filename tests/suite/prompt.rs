//! The question and its answers.

use std::process::Command;
use std::time::{Duration, Instant};
use test_case::test_case;

use crate::harness::{Kind, Nodes, PROMPT, Program, in_a_terminal, offline, online, wait_until};
use crate::proxy::Proxy;

/// Runs `jobs.sh` in a pseudo-terminal.
fn a_shell_in_a_terminal(nodes: &Nodes) -> Program {
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--flush", "--return", "--command"])
        .args(["exec bash jobs.sh", "/dev/null"])
        .current_dir(nodes.folder.path());
    Program::start(&mut command)
}

/// Starts a program in a pseudo-terminal, with a signal ignored, waits until it has printed a text,
/// closes the terminal, and passes its exit status on.
const CLOSES_THE_TERMINAL: &str = "\
import os, pty, signal, sys
ignored, text, *command = sys.argv[1:]
process, terminal = pty.fork()
if process == 0:
    if ignored: signal.signal(signal.Signals[ignored], signal.SIG_IGN)
    os.execv(command[0], command)
printed = b''
while text.encode() not in printed: printed += os.read(terminal, 4096)
os.close(terminal)
status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
";

/// Starts a job in a shell in a pseudo-terminal, waits until it has printed a text, types what stops
/// it, leaves the shell, and closes the terminal.
const LEAVES_THE_SHELL: &str = "\
import os, pty, sys, time
job, text, stops = sys.argv[1:]
process, terminal = pty.fork()
if process == 0: os.execvp('bash', ['bash', '--norc', '-i'])
os.write(terminal, job.encode() + b'\\n')
printed = b''
while text.encode() not in printed: printed += os.read(terminal, 4096)
time.sleep(0.2)
for typed in (stops, 'exit\\n', 'exit\\n'):
    os.write(terminal, typed.encode())
    time.sleep(0.3)
os.close(terminal)
";

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_job_of_a_shell_that_is_left_comes_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    let program = program.to_str().unwrap();
    for _ in 0..6 {
        for (job, stops) in [
            (format!("{program} 1 &"), ""),
            (format!("{program} 1"), "\u{1a}"),
        ] {
            let mut shell = Command::new("python3");
            shell
                .args(["-c", LEAVES_THE_SHELL, &job, "(Y/N):", stops])
                .current_dir(nodes.folder.path());
            Program::start(&mut shell).finish().assert_status(0);
            wait_until("it is back", || nodes.log_in(1).ok());
            wait_until("its undo is gone", || {
                nodes.events(1).is_empty().then_some(())
            });
        }
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn y_in_either_case_and_with_spaces_brings_the_nodes_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    // The last one without a line end, as `printf Y` gives it.
    for answer in [
        "Y\n", "y\n", "  y  \n", "\tY\r\n", "yes\n", " Yes \n", "YES\n", "Y",
    ] {
        let finished = nodes.run(&["1"], answer);
        finished.assert_status(0).assert_line(&online(1));
        assert_eq!(
            finished.out.matches(PROMPT).count(),
            1,
            "{answer:?}: {}",
            finished.out
        );
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn n_leaves_the_nodes_offline_and_asks_again(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["1"]);
    for (asked, answer) in [(2, "N\n"), (3, " n \n"), (4, "no\n"), (5, "No\n")] {
        program.answer(answer);
        let printed = program.wait_for_nth(PROMPT, asked);
        assert_eq!(
            printed.matches("stay offline").count(),
            asked - 1,
            "{printed}"
        );
        nodes.assert_offline(1);
    }
    program.answer("Y\n");
    program.end().assert_status(0);
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn anything_else_is_told_what_is_expected(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["1"]);
    let rubbish = ["\n", "ye\n", "yess\n", "Y N\n", "ja\u{7}\n", "\u{fffd}\n"];
    for (already, answer) in rubbish.iter().enumerate() {
        program.answer(answer);
        let printed = program.wait_for_nth(PROMPT, already + 2);
        assert_eq!(
            printed.matches("Please answer Y").count(),
            already + 1,
            "{answer:?}: {printed}"
        );
    }
    nodes.assert_offline(1);
    program.answer("Y\n");
    program.end().assert_status(0);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn an_answer_that_never_ends_takes_no_memory(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = nodes.fail(&["1"]);
    program.answer(&"Y".repeat(100_000));
    program.answer("\nY\n");
    program.end().assert_status(0);
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn the_prompt_works_in_a_real_terminal(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = in_a_terminal(&nodes, "", "1");
    program.wait_for(PROMPT);
    nodes.assert_offline(1);
    program.answer("n\n");
    program.wait_for_nth(PROMPT, 2);
    program.answer("y\n");
    let finished = program.end();
    finished
        .assert_status(0)
        .assert_line(&offline(1))
        .assert_line(&online(1));
    // The terminal echoes what is typed, so nothing else may begin a new line.
    finished.assert_line(&format!("{PROMPT}y"));
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn ctrl_c_in_a_real_terminal_brings_the_node_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    nodes
        .folder
        .write("waits.sh", "echo started; exec sleep 50");
    // And Ctrl-\; a command ends by it.
    for (typed, args, text, status) in [
        ("\u{3}", "1", PROMPT, 130),
        ("\u{1c}", "1", PROMPT, 130),
        ("\u{3}", "1 -- sh waits.sh", "started", 130),
        ("\u{1c}", "1 -- sh waits.sh", "started", 131),
    ] {
        let mut program = in_a_terminal(&nodes, "", args);
        program.wait_for(text);
        program.answer(typed);
        let finished = program.end();
        finished.assert_status(status);
        // The terminal echoes what is typed, and a command leaves its line as it is.
        assert!(finished.out.contains(&online(1)), "{}", finished.out);
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn ctrl_c_reaches_a_command_once_and_that_may_go_on(kind: Kind) {
    let nodes = Nodes::local(kind);
    // A shell makes one of two signals that come while it waits; this counts each.
    let counts = "import signal, time\n\
        signal.signal(signal.SIGINT, lambda *_: print('interrupted once', flush=True))\n\
        print('started', flush=True)\n\
        deadline = time.monotonic() + 12\n\
        while time.monotonic() < deadline: time.sleep(0.05)\n\
        raise SystemExit(4)\n";
    nodes.folder.write("counts.py", counts);
    let mut program = in_a_terminal(&nodes, "", "1 -- /usr/bin/python3 counts.py");
    program.wait_for("started");
    nodes.assert_offline(1);
    program.answer("\u{3}");
    let finished = program.end();
    finished.assert_status(4).assert_line(&online(1));
    assert_eq!(
        finished.out.matches("interrupted once").count(),
        1,
        "{}",
        finished.out
    );
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_ctrl_c_that_a_command_dealt_with_is_not_the_first_of_two(kind: Kind) {
    let mut nodes = Nodes::local(kind);
    let proxy = Proxy::to(nodes.port(1));
    nodes.reach_by(1, proxy.port);
    let script = "trap 'echo it goes on' INT; echo started; until read line; do :; done; exit 5";
    nodes.folder.write("script.sh", script);
    let mut program = in_a_terminal(&nodes, "", "1 -- sh script.sh");
    program.wait_for("started");
    program.answer("\u{3}");
    program.wait_for("it goes on");
    let first = Instant::now();
    wait_until("one interrupt's time", || {
        (first.elapsed() > Duration::from_secs(1)).then_some(())
    });
    proxy.set_silent(true);
    program.answer("end\n");
    program.wait_for("waiting for node 1");
    program.answer("\u{3}");
    program.wait_for("Ctrl-C again leaves at once");
    proxy.set_silent(false);
    proxy.set_cut(true);
    program.wait_for("trying again");
    proxy.set_cut(false);
    program.end().assert_status(5).assert_line(&online(1));
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn job_control_stops_it_and_the_prompt_comes_again(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes
        .command(&[])
        .get_program()
        .to_str()
        .unwrap()
        .to_owned();
    let script =
        format!("set -m; '{program}' 1; echo first stop; fg; echo second stop; fg; echo status $?");
    nodes.folder.write("jobs.sh", script);
    let mut shell = a_shell_in_a_terminal(&nodes);
    shell.wait_for(PROMPT);
    shell.answer("\u{1a}");
    shell.wait_for("first stop");
    shell.wait_for_nth(PROMPT, 2);
    nodes.assert_offline(1);
    shell.answer("n\n");
    shell.wait_for_nth(PROMPT, 3);
    shell.answer("\u{1a}");
    shell.wait_for("second stop");
    shell.wait_for_nth(PROMPT, 4);
    shell.answer("y\n");
    let finished = shell.end();
    finished.assert_line("status 0").assert_line(&online(1));
    // One answer is taken for each question.
    assert_eq!(finished.out.matches(PROMPT).count(), 4, "{}", finished.out);
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn in_the_background_it_goes_on_and_asks_again_in_front(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes.command(&[]).get_program().to_owned();
    let program = program.to_str().unwrap();
    let script = format!(
        "set -m; '{program}' 1 & sleep 2; jobs; fg; echo first stop; bg; sleep 1; fg; echo status $?"
    );
    nodes.folder.write("jobs.sh", script);
    let mut shell = a_shell_in_a_terminal(&nodes);
    shell.wait_for("Running");
    shell.wait_for_nth(PROMPT, 2);
    shell.answer("\u{1a}");
    shell.wait_for("first stop");
    shell.wait_for_nth(PROMPT, 3);
    nodes.assert_offline(1);
    shell.answer("y\n");
    let finished = shell.end();
    finished.assert_line("status 0").assert_line(&online(1));
    assert_eq!(finished.out.matches(PROMPT).count(), 3, "{}", finished.out);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn job_control_stops_a_command_too_and_it_reads_from_the_terminal(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes
        .command(&[])
        .get_program()
        .to_str()
        .unwrap()
        .to_owned();
    nodes.folder.write(
        "reads.sh",
        "echo started; read line; echo \"read $line\"; read line </dev/tty; exit \"$line\"",
    );
    let script =
        format!("set -m; '{program}' 1 -- sh reads.sh; echo it stopped; fg; echo status $?");
    nodes.folder.write("jobs.sh", script);
    let mut shell = a_shell_in_a_terminal(&nodes);
    shell.wait_for("started");
    shell.answer("\u{1a}");
    shell.wait_for("it stopped");
    nodes.assert_offline(1);
    shell.answer("this\n");
    shell.wait_for("read this");
    shell.answer("6\n");
    shell.end().assert_line("status 6");
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_deadline_holds_after_a_stop(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes
        .command(&[])
        .get_program()
        .to_str()
        .unwrap()
        .to_owned();
    let script =
        format!("set -m; '{program}' 1 --for 1s; echo it stopped; read line; fg; echo status $?");
    nodes.folder.write("jobs.sh", script);
    let mut shell = a_shell_in_a_terminal(&nodes);
    shell.wait_for("back in 1s");
    shell.answer("\u{1a}");
    shell.wait_for("it stopped");
    let stopped = Instant::now();
    wait_until("the deadline", || {
        (stopped.elapsed() > Duration::from_secs(2)).then_some(())
    });
    nodes.assert_offline(1);
    shell.answer("go\n");
    shell.end().assert_line("status 0");
    nodes.assert_online(1);
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_terminal_that_another_program_left_non_blocking_can_be_answered(kind: Kind) {
    let nodes = Nodes::local(kind);
    nodes.folder.write(
        "leaves.py",
        "import os, sys; os.set_blocking(0, False); os.execv(sys.argv[1], sys.argv[1:])",
    );
    let mut program = in_a_terminal(&nodes, "/usr/bin/python3 leaves.py", "1");
    program.wait_for(PROMPT);
    program.answer("n\n");
    program.wait_for_nth(PROMPT, 2);
    nodes.assert_offline(1);
    program.answer("y\n");
    program.end().assert_status(0).assert_line(&online(1));
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn when_the_terminal_is_closed_the_nodes_come_back(kind: Kind) {
    let nodes = Nodes::local(kind);
    let program = nodes
        .command(&[])
        .get_program()
        .to_str()
        .unwrap()
        .to_owned();
    nodes.folder.write("close.py", CLOSES_THE_TERMINAL);
    for (ignored, text, args, status) in [
        ("", PROMPT, &["1"][..], 130),
        ("SIGHUP", PROMPT, &["1"], 1),
        (
            "",
            "started",
            &["1", "--", "sh", "-c", "sleep 1000 & echo started; wait"],
            129,
        ),
        (
            "",
            "started",
            &[
                "1",
                "--",
                "sh",
                "-c",
                "trap 'exit 9' HUP; echo started; while :; do sleep 0.05; done",
            ],
            9,
        ),
    ] {
        let mut python = Command::new("/usr/bin/python3");
        python
            .args(["close.py", ignored, text, &program])
            .args(args)
            .current_dir(nodes.folder.path());
        let finished = Program::start(&mut python).end();
        assert_eq!(finished.status, status, "{args:?}: {finished:?}");
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_signal_that_comes_with_the_end_of_input_counts(kind: Kind) {
    let nodes = Nodes::local(kind);
    for _ in 0..5 {
        let mut program = nodes.fail(&["1"]);
        program.end_input();
        program.signal("TERM");
        let finished = program.end();
        finished.assert_status(130);
        assert!(!finished.err.contains("input"), "{}", finished.err);
        nodes.assert_online(1);
    }
}

#[test_case(Kind::MySql; "on_mysql")]
#[test_case(Kind::MariaDb; "on_mariadb")]
fn a_terminal_shows_the_time_that_is_left(kind: Kind) {
    let nodes = Nodes::local(kind);
    let mut program = in_a_terminal(&nodes, "", "1 --for 2s");
    program.wait_for("back in 2s");
    program.wait_for("back in 1s");
    let finished = program.end();
    finished.assert_status(0);
    assert!(finished.out.contains(&online(1)), "{}", finished.out);
}

#[test]
fn a_terminal_shows_what_is_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nodes = Nodes::local(Kind::MySql);
    nodes.reach_by(1, silent.local_addr().unwrap().port());
    let program = in_a_terminal(&nodes, "", "1 2 --timeout 4s");
    let printed = program.wait_for("): 2s");
    assert!(
        printed.contains("waiting for node 1 (127.0.0.1:"),
        "{printed}"
    );
    assert!(!printed.contains("waiting for node 2"), "{printed}");
    // Only there: elsewhere it would be so many lines.
    let finished = nodes.run(&["1", "2", "--timeout", "2s"], "");
    finished.assert_status(1);
    assert!(!finished.err.contains("waiting for"), "{}", finished.err);
}
