//! Reading a prompt and going on token by token gives the logits of the whole sequence, for every model and hybrid
//! stack; so do padded and packed prompts, and caches that were forked or rolled back.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis, arr2, s};
use reference::error::Error;
use reference::models::prompts::{PromptError, Prompts};
use reference::models::walk::{Cache, Forgotten, Walk, Weights};
use reference::models::{MODELS, Stage};
use reference::oracle;
use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::Arrays;
use reference::unit::Parts;

use crate::agree::{IDENTITY, largest};
use crate::sample::Random;

const TOKENS: usize = 7;
// four channels, since of two a norm of layers leaves a sign
const SHAPE: &str = "B=1,T=7,H=2,HV=2,HQ=2,K=4,V=3,D=4,M=2,C=3,L=4,R=2,W=3,I=3,F=2,E=1,G=1,S=9,AQ=2,AH=1,AK=2";

/// A stack with random weights.
struct Stack {
    problem: Problem,
    inputs: Arrays,
    walk: Walk,
    held: Held,
}

struct Held(BTreeMap<Stage, Parts<f64>>);

impl Weights<f64> for Held {
    type Error = Error;

    fn with<R>(&mut self, stage: Stage, act: impl FnOnce(&mut Parts<f64>) -> R) -> Result<R, Error> {
        Ok(act(self.0.get_mut(&stage).expect("every part")))
    }
}

/// Every model and hybrid stack, plain and with every option, from states that nobody has written.
fn stacks() -> impl Iterator<Item = Stack> {
    MODELS.iter().flat_map(|spec| crate::variants::at(spec, SHAPE)).map(|mut problem| {
        problem.absent.extend(problem.spec.inputs.iter().map(|p| p.name).filter(|n| n.starts_with("layers.")));
        let inputs = Random::new(7).inputs(&problem);
        let walk = Walk::new(&problem).unwrap_or_else(|e| panic!("{e}"));
        let part = |stage| walk.ports(stage).map(|port| (port.name, inputs[port.name].clone())).collect();
        let held = Held(walk.stages().map(|stage| (stage, part(stage))).collect());
        Stack { problem, inputs, walk, held }
    })
}

impl Stack {
    fn ids(&self) -> Vec<usize> {
        self.inputs["input_ids"].iter().map(|&id| id as usize).collect()
    }

    /// The logits of the first tokens, all at once, by the oracle.
    fn whole(&self, tokens: usize) -> Array2<f64> {
        let (mut problem, mut inputs) = (self.problem.clone(), self.inputs.clone());
        problem.sizes.insert(Dim::T, tokens);
        for name in ["input_ids", "targets"] {
            inputs.insert(name.into(), self.inputs[name].slice_axis(Axis(1), (0..tokens).into()).to_owned());
        }
        let logits = oracle::forward(&problem, &inputs).unwrap_or_else(|e| panic!("{e}")).remove("logits");
        let logits = logits.expect("a model has logits").index_axis_move(Axis(0), 0);
        logits.into_dimensionality().expect("tokens by symbols")
    }

    fn read(&mut self, ids: &[usize], cache: &mut Cache<f64>) -> Array2<f64> {
        let caches = std::slice::from_mut(cache);
        let logits = self.walk.logits(&[ids], caches, &mut self.held, |_| {}).unwrap_or_else(|e| panic!("{e}"));
        logits.into_iter().next().expect("one sequence")
    }

    fn assert_same(&self, what: &str, got: ArrayView2<'_, f64>, expected: ArrayView2<'_, f64>) {
        let off = difference(got, expected);
        assert!(off <= IDENTITY, "{} {what}: off by {off:e}", self.problem);
    }
}

/// The largest difference, over the largest expected magnitude.
fn difference(got: ArrayView2<'_, f64>, expected: ArrayView2<'_, f64>) -> f64 {
    assert_eq!(got.shape(), expected.shape());
    largest(&(&got - &expected).into_dyn()) / largest(&expected.to_owned().into_dyn())
}

#[test]
fn a_prompt_and_then_one_token_at_a_time_is_the_whole() {
    let mut forgetful = Vec::new();
    for mut stack in stacks() {
        let (ids, whole, prompt) = (stack.ids(), stack.whole(TOKENS), 4);
        let mut cache = stack.walk.cache(TOKENS);
        let logits = stack.read(&ids[..prompt], &mut cache);
        stack.assert_same("prompt", logits.view(), whole.slice(s![..prompt, ..]));
        for t in prompt..TOKENS {
            let logits = stack.read(&ids[t..=t], &mut cache);
            stack.assert_same("token", logits.view(), whole.slice(s![t..=t, ..]));
        }
        assert_eq!(cache.tokens(), TOKENS);
        // a token without what came before has other logits, or this test could not fail
        let mut empty = stack.walk.cache(0);
        let alone = stack.read(&ids[TOKENS - 1..], &mut empty);
        if difference(alone.view(), whole.slice(s![TOKENS - 1.., ..])) <= 1e-6 {
            forgetful.push(stack.problem.to_string());
        }
    }
    assert!(forgetful.is_empty(), "the last token does not depend on the others: {forgetful:#?}");
}

#[test]
fn a_fork_goes_on_by_itself_and_what_is_rolled_back_is_forgotten() {
    for mut stack in stacks() {
        let (ids, whole) = (stack.ids(), stack.whole(TOKENS));
        let mut cache = stack.walk.cache(3);
        stack.read(&ids[..3], &mut cache);
        stack.read(&ids[3..5], &mut cache);
        let mut fork = cache.clone();
        let other = (ids[5] + 1) % stack.problem.size(Dim::S);
        stack.read(&[other, other], &mut cache);
        let forked = stack.read(&ids[5..], &mut fork);
        stack.assert_same("fork", forked.view(), whole.slice(s![5.., ..]));
        cache.roll_back(5).unwrap_or_else(|e| panic!("{}: {e}", stack.problem));
        let again = stack.read(&ids[5..], &mut cache);
        stack.assert_same("rolled back", again.view(), whole.slice(s![5.., ..]));
        cache.roll_back(3).unwrap_or_else(|e| panic!("{}: {e}", stack.problem));
        let again = stack.read(&ids[3..], &mut cache);
        stack.assert_same("rolled back twice", again.view(), whole.slice(s![3.., ..]));
    }
}

#[test]
fn a_cache_says_where_it_can_go_back_to() {
    let mut stateful = 0;
    for mut stack in stacks() {
        let ids = stack.ids();
        let mut cache = stack.walk.cache(1);
        stack.read(&ids[..3], &mut cache);
        stack.read(&ids[3..5], &mut cache);
        match cache.roll_back(2) {
            Err(Forgotten { asked: 2, known }) => {
                assert_eq!(known, [3, 5]);
                stateful += 1;
            }
            Ok(()) => assert_eq!(cache.tokens(), 2),
            Err(other) => panic!("{other}"),
        }
        assert!(cache.roll_back(6).is_err());
    }
    assert!(stateful > 0, "some blocks have states");
}

#[test]
fn padded_and_packed_prompts_are_the_plain_ones() {
    let mask = arr2(&[[false, false, true, true, true], [true; 5], [false; 5]]);
    for mut stack in stacks() {
        let ids = stack.ids();
        let row =
            |t: usize, n: usize| (0..5).map(|i| if i + n < 5 { 0 } else { ids[i + n - 5 + t] }).collect::<Vec<_>>();
        let rows = [row(0, 3), row(0, 5), row(0, 0)].concat();
        let padded = Array2::from_shape_vec((3, 5), rows).expect("three rows of five");
        let prompts = Prompts::padded(padded.view(), mask.view()).expect("padding on the left");
        let packed: Vec<usize> = ids[..3].iter().chain(&ids[..5]).copied().collect();
        let packing = Prompts::packed(&packed, &[0, 3, 8, 8]).expect("three sequences, one of them empty");
        assert_eq!(prompts.sequences(), packing.sequences());
        let logits = stack.walk.logits(&prompts.sequences(), &mut [], &mut stack.held, |_| {}).expect("known tokens");
        let (padded, packed) = (prompts.place(&logits), packing.place(&logits));
        let (short, long) = (stack.whole(3), stack.whole(5));
        stack.assert_same("padded", padded.slice(s![0, 2.., ..]), short.view());
        stack.assert_same("not padded", padded.slice(s![1, .., ..]), long.view());
        stack.assert_same("packed first", packed.slice(s![0, ..3, ..]), short.view());
        stack.assert_same("packed second", packed.slice(s![0, 3.., ..]), long.view());
        assert!(padded.slice(s![0, ..2, ..]).iter().chain(padded.slice(s![2, .., ..])).all(|x| x.to_bits() == 0));
    }
}

#[test]
fn more_tokens_than_there_are_positions_for_are_said_before_anything_is_read() {
    let mut stack = stacks().find(|stack| stack.problem.spec.name == "cat_model").expect("it has a table of positions");
    let (ids, room) = (stack.ids(), stack.problem.size(Dim::G));
    let mut cache = stack.walk.cache(1);
    for &id in ids.iter().cycle().take(room) {
        stack.read(&[id], &mut cache);
    }
    let wrong = stack.walk.logits(&[&ids[..1]], std::slice::from_mut(&mut cache), &mut stack.held, |_| {});
    assert!(matches!(wrong, Err(Error::Constraint { op: "cat_model", .. })), "{wrong:?}");
    assert_eq!(cache.tokens(), room);
    assert!(cache.roll_back(room - 1).is_ok());
    stack.read(&ids[..1], &mut cache);
}

#[test]
fn what_is_no_batch_is_said() {
    let ids = Array2::from_elem((1, 3), 0);
    let wrong = Prompts::padded(ids.view(), arr2(&[[true, false, true]]).view());
    assert_eq!(wrong, Err(PromptError::Padding { row: 0, column: 1 }));
    let wrong = Prompts::padded(ids.view(), arr2(&[[true, true]]).view());
    assert_eq!(wrong, Err(PromptError::Mask { expected: [1, 3], got: [1, 2] }));
    for offsets in [vec![0, 2], vec![1, 3], vec![0, 4, 3], vec![]] {
        assert_eq!(Prompts::packed(&[0; 3], &offsets), Err(PromptError::Packing { tokens: 3, got: offsets }));
    }
}

#[test]
fn a_token_that_there_is_not_is_said_before_anything_is_read() {
    let mut stack = stacks().next().expect("a model");
    let below = stack.problem.size(Dim::S);
    let mut caches = [stack.walk.cache(0)];
    let wrong = stack.walk.logits(&[&[0, below]], &mut caches, &mut stack.held, |_| {});
    assert!(matches!(wrong, Err(Error::Index { port: "input_ids", at, below: b, .. }) if at == [1] && b == below));
    assert_eq!(caches[0].tokens(), 0);
}
