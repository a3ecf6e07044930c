//! The oracle's own code with something done to it, for tests.

use reports::record::Identity;

use super::local::Reference;
use super::{Abilities, BenchRequest, Candidate, Reply, Request, Timing};

/// Answers as a function does that may ask the oracle.
pub(crate) struct Around<F>(Reference, F);

impl<F: FnMut(&mut Reference, &Request) -> Reply + Send> Around<F> {
    pub(crate) fn new(answer: F) -> Self {
        Self(Reference::default(), answer)
    }
}

impl<F: FnMut(&mut Reference, &Request) -> Reply + Send> Candidate for Around<F> {
    fn identity(&self) -> &Identity {
        self.0.identity()
    }

    fn ops(&self) -> &[String] {
        self.0.ops()
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn call(&mut self, request: &Request) -> Reply {
        (self.1)(&mut self.0, request)
    }

    fn bench(&mut self, _: &BenchRequest) -> Result<Timing, Reply> {
        Err(Reply::Declined("not timed".to_owned()))
    }
}
