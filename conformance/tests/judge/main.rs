//! The judge judged: planted faults, bad input, misbehaving candidates, records, evidence.

mod abi;
mod bad_input;
mod cases;
mod checkpoint;
mod findings;
mod golden;
mod misbehave;
mod mutants;
mod question;
mod run;
mod statistics;
mod steps;
mod upstream;
mod wire;
mod zoo;
