//! The command line.

use std::process::ExitCode;

use clap::Parser;
use fla_conformance::cli::{Cli, Command};
use fla_conformance::{account, bench, drift, list, model, replay, report, run, serve, swap, twin, zoo};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = || match Cli::parse_from(["fla-conformance", "run"]).command {
        Some(command) => command,
        None => unreachable!("run is a command"),
    };
    match dispatch(&cli.command.unwrap_or_else(default)) {
        Ok(code) => code,
        Err((message, code)) => {
            eprintln!("fla-conformance: {message}");
            ExitCode::from(code)
        }
    }
}

/// What to say and with which code to exit when a command cannot do its work: 2 bad usage or input, 3 the environment.
type Refusal = (String, u8);

fn dispatch(command: &Command) -> Result<ExitCode, Refusal> {
    match command {
        Command::List(args) => list::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Run(args) => run::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Replay(args) => replay::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Bench(args) => bench::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Swap(args) => swap::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Account(args) => account::command(args).map_err(|e| (e.to_string(), 2)),
        Command::Twin(args) => twin::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Drift(args) => drift::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Serve(args) => serve::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Model(args) => model::command(args).map_err(|e| (e.to_string(), e.exit_code())),
        Command::Report(args) => report::command(args).map_err(|e| (e.to_string(), 2)),
        Command::Zoo(args) => zoo::command(args).map_err(|e| (e.to_string(), e.exit_code())),
    }
}
