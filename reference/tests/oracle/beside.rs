//! Two questions about the same numbers.

use crate::question::Question;
use crate::sample::problem;

/// A question with the inputs and cotangents that another has in the same shapes; the rest is random.
pub(crate) fn beside(other: &Question, op: &str, fields: &str, seed: u64) -> Question {
    let mut question = Question::new(problem(op, fields), seed);
    for (own, others) in [(&mut question.inputs, &other.inputs), (&mut question.cotangents, &other.cotangents)] {
        for (name, array) in own.iter_mut() {
            if let Some(given) = others.get(name).filter(|given| given.shape() == array.shape()) {
                array.assign(given);
            }
        }
    }
    question
}
