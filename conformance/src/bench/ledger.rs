//! Records of a bench: kept from the first case on, grouped by candidate.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use reports::record::{self, FORMAT, Identity, Line, Timed};

use super::Error;
use crate::output::print_record;

/// The file of records. What others wrote into it stays; this bench's part is written anew after each case.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: File,
    start: u64,
    runs: Vec<(Line, Vec<Timed>)>,
    json: bool,
}

impl Ledger {
    /// Appends to `records.jsonl` in `folder`; with `json`, lines go to stdout too.
    pub(super) fn open(folder: &Path, candidates: &[Identity], json: bool) -> Result<Self, Error> {
        let path = folder.join("records.jsonl");
        let fail = |source| Error::Output { path: path.display().to_string(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        let start = file.seek(SeekFrom::End(0)).map_err(fail)?;
        let environment = crate::environment::here();
        let run = |candidate: &Identity| {
            let (candidate, environment) = (candidate.clone(), environment.clone());
            (Line::Run { format: FORMAT, candidate, environment }, Vec::new())
        };
        Ok(Self { file, start, runs: candidates.iter().map(run).collect(), json, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one record for each candidate, in their order.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = Timed>) -> Result<(), Error> {
        for ((run, timed), row) in self.runs.iter_mut().zip(rows) {
            if self.json {
                print_record(run);
                print_record(&Line::Timed(Box::new(row.clone())));
            }
            timed.push(row);
        }
        self.save().map_err(|source| Error::Output { path: self.path.display().to_string(), source })
    }

    fn save(&mut self) -> std::io::Result<()> {
        let mut text = Vec::new();
        for (run, timed) in &self.runs {
            record::write(&mut text, run)?;
            for row in timed {
                record::write(&mut text, &Line::Timed(Box::new(row.clone())))?;
            }
        }
        // it only grows, so that nothing is lost in between
        self.file.seek(SeekFrom::Start(self.start))?;
        self.file.write_all(&text)?;
        self.file.flush()
    }
}
