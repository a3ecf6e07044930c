//! The judge: whether an implementation of an op is right, and how fast it is.
//!
//! A [`case::Case`] is a point of the input space; [`suite`] derives cases from the specs. A [`check::Check`] plans
//! calls and judges the answers; [`measure`] holds the only tolerances. [`run`] puts a [`candidate::Candidate`] through
//! a suite and writes records.

#![deny(unsafe_code)]

pub mod abi;
pub mod account;
pub mod bench;
pub mod candidate;
pub mod case;
pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod drift;
mod element;
pub mod environment;
pub mod examine;
pub mod expect;
pub mod glob;
pub mod lattice;
pub mod list;
pub mod measure;
pub mod model;
mod output;
pub mod precision;
pub mod probe;
pub mod replay;
pub mod report;
pub mod run;
pub mod sample;
pub mod serve;
pub mod sheet;
pub mod shrink;
pub mod step;
pub mod suite;
pub mod swap;
pub mod truth;
pub mod twin;
pub mod weights;
pub mod wire;
pub mod zoo;

pub use reference::nearest;
