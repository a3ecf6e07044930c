//! A call that stays on the device: recorded once, then played again with other inputs.

use std::time::Instant;

use reference::tensor::Tensor;

use super::{Answer, Call, Engine, Fill, Job, Output, WARM_UP, answers};
use crate::args::Ptr;
use crate::device::Recorder;
use crate::error::Error;

/// What was recorded, and where its tensors lie.
pub(super) struct Kept {
    /// Of the call, all but the values.
    question: String,
    graph: u64,
    /// Every buffer of the call.
    buffers: Vec<u64>,
    /// Inputs and cotangents that are given.
    given: Vec<(String, Ptr)>,
    outputs: Vec<Output>,
    ran: Vec<String>,
    workspace_bytes: u64,
}

impl Engine {
    /// Whether [`Engine::replay`] is there, and is more than the same launches one by one.
    #[must_use]
    pub fn can_replay(&self) -> bool {
        self.device.recorder().is_some_and(Recorder::queues)
    }

    /// Answers a call from a recording of its launches. The first call of a problem is recorded, which runs nothing and
    /// may neither allocate nor wait, and then played; the next one of the same problem overwrites the inputs and plays
    /// the same recording again. Another problem drops it.
    ///
    /// # Errors
    /// As [`Engine::run`]; a device that cannot record, poisoned memory.
    pub fn replay(&mut self, call: &Call<'_>) -> Result<Answer, Error> {
        if call.fill != Fill::Any {
            return Err(Error::Declined("a recording has no poisoned memory".to_owned()));
        }
        let question = question(call);
        match self.kept.as_ref().filter(|kept| kept.question == question) {
            Some(kept) => {
                for (name, ptr) in &kept.given {
                    if let Some(tensor) = given(call, name) {
                        self.device.upload(ptr.0, tensor.bytes())?;
                    }
                }
            }
            None => {
                self.forget();
                self.kept = Some(self.record(call, question)?);
            }
        }
        self.play()
    }

    fn record(&mut self, call: &Call<'_>, question: String) -> Result<Kept, Error> {
        let mut job = Job::new(&mut *self.device, call)?;
        let (graph, ran, workspace_bytes) = (job.recorded()?, job.ran(), job.memory.workspace);
        let given = job.given.into_iter().filter(|(name, _)| given(call, name).is_some()).collect();
        Ok(Kept { question, graph, buffers: job.memory.keep(), given, outputs: job.outputs, ran, workspace_bytes })
    }

    fn play(&mut self) -> Result<Answer, Error> {
        let (Some(kept), Some(recorder)) = (&self.kept, self.device.recorder()) else {
            return Err(unable());
        };
        recorder.play(kept.graph)?;
        let tensors = answers(&mut *self.device, &kept.outputs, usize::MAX)?;
        Ok(Answer { tensors, ran: kept.ran.clone(), workspace_bytes: kept.workspace_bytes })
    }

    /// Gives back what a recording holds.
    pub(super) fn forget(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        if let Some(recorder) = self.device.recorder() {
            recorder.forget(kept.graph);
        }
        for address in kept.buffers {
            self.device.free(address);
        }
    }
}

impl Job<'_> {
    fn recorder(&self) -> Result<&dyn Recorder, Error> {
        self.memory.device.recorder().ok_or_else(unable)
    }

    fn recorded(&mut self) -> Result<u64, Error> {
        self.recorder()?.begin()?;
        let launched = self.execute();
        let graph = self.recorder()?.end();
        launched.and(graph)
    }

    /// Host nanoseconds of queueing the call, as a recording of its launches.
    pub(super) fn queueing(&mut self, times: usize) -> Result<Vec<f64>, Error> {
        let graph = self.recorded()?;
        let mut host_ns = Vec::with_capacity(times);
        for i in 0..WARM_UP + times {
            // something that the device is busy with meanwhile
            self.memory.device.flush()?;
            let begun = Instant::now();
            self.recorder()?.play(graph)?;
            if i >= WARM_UP {
                host_ns.push(begun.elapsed().as_nanos() as f64);
            }
        }
        self.recorder()?.forget(graph);
        Ok(host_ns)
    }
}

fn unable() -> Error {
    Error::Declined("this device cannot record launches".to_owned())
}

fn given<'a>(call: &Call<'a>, name: &str) -> Option<&'a Tensor> {
    call.inputs.get(name).or_else(|| call.cotangents.get(name))
}

/// All that decides launches and buffers.
fn question(call: &Call<'_>) -> String {
    let p = call.problem;
    let names: Vec<&String> = call.inputs.keys().chain(call.cotangents.keys()).collect();
    format!("{} {:?} {:?} {:?} {names:?} {:?} {:?}", p.spec.name, p.sizes, p.attrs, p.sequences, call.dtype, call.want)
}

#[cfg(test)]
mod tests {
    use reference::ops::simple_gla::SPEC;
    use reference::problem::Problem;
    use reference::spec::Dim;
    use reference::tensor::{DType, Tensors};

    use super::*;
    use crate::Backend;

    /// Inputs all of which are this number.
    fn question(tokens: usize, x: f64) -> (Problem, Tensors) {
        let sizes = [(Dim::B, 1), (Dim::T, tokens), (Dim::H, 1), (Dim::K, 16), (Dim::V, 8)];
        let mut problem = Problem::new(&SPEC, &sizes);
        problem.absent.extend(["g_gamma", "g"]);
        let all = problem.inputs().map(|p| (p.name.to_owned(), Tensor::filled(DType::F32, &problem.shape(p), x)));
        let inputs = all.collect();
        (problem, inputs)
    }

    #[test]
    fn a_recording_answers_for_the_inputs_that_it_is_played_with() {
        let mut engine = Engine::open(Backend::Host).expect("the host is there");
        let (want, none) = (["o".to_owned(), "ht".to_owned()], Tensors::new());
        // one token and five: other launches; twice the same numbers: the same recording
        for (tokens, x) in [(1, 1.0), (1, 2.0), (5, 2.0), (5, 0.5), (5, 2.0), (1, 1.0)] {
            let (problem, inputs) = question(tokens, x);
            let (dtype, fill) = (DType::F32, Fill::Any);
            let call = Call { problem: &problem, dtype, inputs: &inputs, cotangents: &none, want: &want, fill };
            let [plain, played] = [engine.run(&call), engine.replay(&call)].map(|a| a.expect("there are kernels"));
            assert_eq!((plain.tensors, plain.ran), (played.tensors, played.ran), "T = {tokens}, {x}");
        }
        let (problem, inputs) = question(1, 1.0);
        let (dtype, fill) = (DType::F32, Fill::NaN);
        let poisoned = Call { problem: &problem, dtype, inputs: &inputs, cotangents: &none, want: &want, fill };
        assert!(matches!(engine.replay(&poisoned), Err(Error::Declined(_))));
    }
}
