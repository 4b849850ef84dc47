//! The program, run as a user runs it, on real servers that the tests start themselves.

mod cases;
mod comes_back;
mod commands;
mod endings;
mod exactness;
mod faults;
mod for_programs;
mod harness;
mod only_those;
mod prompt;
mod proxy;
mod reach;
mod refusals;
mod returns;
mod sessions;
