//! Verdicts, records and what people read: HTML, Markdown, JUnit, plots, the support table.
//!
//! A leaf: it knows nothing of ops or candidates beyond their names. [`record::Run`]s come in, text goes out.

#![forbid(unsafe_code)]

pub mod evidence;
pub mod marks;
pub mod number;
pub mod record;
pub mod render;
pub mod speed;
pub mod summary;
pub mod support;
pub mod verdict;
