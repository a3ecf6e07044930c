//! Where an op is a special case of another one, that one gives its answers: the candidate's `kda` with a gate for each
//! head instead of each channel is its `gated_delta_rule`.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::truth::Standards;

pub(super) static CHECK: Check = Check {
    name: "reduction",
    summary: "a more general op gives the answers of its special case",
    applies: |case| super::has_tokens(case) && row(case).is_some(),
    needs: anyone,
    plan: |case, truth| {
        let Some((row, problem)) = row(case) else { return Vec::new() };
        let input = |port: &Port| Some((port.name.to_owned(), row.input(case, &problem, port, &truth.inputs)?));
        let inputs: Tensors = problem.inputs().filter_map(input).collect();
        let mut backward = Call::backward(&problem, &inputs, &truth.cotangents);
        backward.want.retain(|name| row.answers(case, name));
        vec![Call::forward(&problem, &inputs), backward]
    },
    judge,
};

/// How the general op's input is made.
#[derive(Debug, Clone, Copy)]
enum Made {
    /// Zeros.
    Zeros,
    /// Another input of the special case.
    Of(&'static str),
    /// The same for each channel of the key.
    Spread,
}

/// One op as a special case of another.
struct Row {
    special: &'static str,
    general: &'static str,
    /// Inputs that are not the special case's own of that name.
    made: &'static [(&'static str, Made)],
    /// Inputs of the special case that the general op knows nothing of.
    without: &'static [&'static str],
}

static ROWS: &[Row] = &[
    Row { special: "linear_attn", general: "simple_gla", made: &[("g", Made::Zeros)], without: &[] },
    Row { special: "simple_gla", general: "gla", made: &[("g", Made::Spread)], without: &["g_gamma"] },
    Row { special: "gla", general: "dplr", made: &[("a", Made::Zeros), ("b", Made::Zeros)], without: &["gv"] },
    Row { special: "delta_rule", general: "gated_delta_rule", made: &[("g", Made::Zeros)], without: &[] },
    Row { special: "delta_rule", general: "comba", made: &[("g", Made::Zeros), ("p", Made::Of("k"))], without: &[] },
    Row { special: "gated_delta_rule", general: "kda", made: &[("g", Made::Spread)], without: &[] },
    Row { special: "gated_delta_rule", general: "gated_delta_product", made: &[], without: &[] },
];

/// A row for the case, the seed saying which, and the general problem.
fn row(case: &Case) -> Option<(&'static Row, Problem)> {
    let rows: Vec<_> = ROWS.iter().filter_map(|row| Some((row, row.problem(case)?))).collect();
    let count = rows.len().max(1);
    rows.into_iter().nth(case.seed as usize % count)
}

impl Row {
    /// The general problem, when this row is about the case and nothing is lost on the way.
    fn problem(&self, case: &Case) -> Option<Problem> {
        let (special, general) = (&case.problem, reference::spec(self.general)?);
        if special.spec.name != self.special || special.inputs().any(|p| self.without.contains(&p.name)) {
            return None;
        }
        let heads = |dim| if special.spec.sizes.contains(&dim) { special.size(dim) } else { special.size(Dim::H) };
        let size = |&dim: &Dim| (dim, if Dim::GROUPED.contains(&dim) { heads(dim) } else { special.size(dim) });
        let mut problem = Problem::new(general, &general.sizes.iter().map(size).collect::<Vec<_>>());
        problem.sequences.clone_from(&special.sequences);
        for (name, value) in &special.attrs {
            problem.attrs.insert(general.attr(name)?.name, *value);
        }
        let given = |p: &Port| match self.made(p.name) {
            Some(Made::Zeros) => true,
            Some(Made::Of(other)) => special.spec.input(other).is_some_and(|o| special.has(o)),
            Some(Made::Spread) | None => special.spec.input(p.name).is_some_and(|o| special.has(o)),
        };
        problem.absent = general.inputs.iter().filter(|p| problem.allows(p) && !given(p)).map(|p| p.name).collect();
        problem.absent.extend(general.outputs.iter().map(|p| p.name).filter(|name| special.absent.contains(name)));
        let same = |p: &Port| {
            let Some(source) = self.source(special, p) else { return true };
            let count = |shape: Vec<usize>| shape.into_iter().product::<usize>();
            let copies = if matches!(self.made(p.name), Some(Made::Spread)) { special.size(Dim::K) } else { 1 };
            let exact = case.dtype == DType::F32 || source.precision == p.precision;
            exact && count(special.shape(source)) * copies == count(problem.shape(p))
        };
        (problem.validate().is_ok() && problem.inputs().all(same)).then_some(problem)
    }

    fn made(&self, port: &str) -> Option<Made> {
        self.made.iter().find(|(name, _)| *name == port).map(|&(_, made)| made)
    }

    /// The special case's input that an input of the general op is made of.
    fn source(&self, special: &Problem, port: &Port) -> Option<&'static Port> {
        match self.made(port.name) {
            Some(Made::Zeros) => None,
            Some(Made::Of(other)) => special.spec.input(other),
            Some(Made::Spread) | None => special.spec.input(port.name),
        }
    }

    fn input(&self, case: &Case, general: &Problem, port: &Port, inputs: &Tensors) -> Option<Tensor> {
        let shape = general.shape(port);
        let Some(source) = self.source(&case.problem, port) else {
            return Some(Tensor::filled(Problem::dtype(port, case.dtype), &shape, 0.0));
        };
        // its type is the port's, or there is no row for the case
        let tensor = inputs.get(source.name)?;
        if !matches!(self.made(port.name), Some(Made::Spread)) {
            return Some(cut::reshaped(tensor, &shape));
        }
        let one = cut::reshaped(tensor, &[tensor.shape(), &[1]].concat());
        let width = shape.last().copied().unwrap_or(1);
        Tensor::concat(shape.len() - 1, &vec![&one; width])
    }

    /// Whether an answer of the general op is one of the special case: outputs, and gradients of what went in once, as
    /// it is.
    fn answers(&self, case: &Case, name: &str) -> bool {
        let Some(input) = name.strip_prefix("d_") else { return case.problem.spec.output(name).is_some() };
        let twice = self.made.iter().any(|(_, made)| matches!(made, Made::Of(other) if *other == input));
        let own = case.problem.spec.input(input).is_some_and(|p| case.problem.has(p) && p.differentiable);
        own && self.made(input).is_none() && !twice
    }
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [outputs, gradients] = trial.answers else { return Ok(verdicts::malformed("two answers".into(), 0)) };
    let shaped = |answers: &Tensors| -> Tensors {
        let fit = |(name, t): (&String, &Tensor)| {
            let port = crate::truth::port(&trial.case.problem, name)?;
            Some((name.clone(), cut::reshaped(t, &trial.case.problem.shape(port))))
        };
        answers.iter().filter_map(fit).collect()
    };
    let gradients = shaped(gradients);
    let mut standards: Standards = (*trial.truth.gradients(&trial.truth.cotangents)?).clone();
    standards.retain(|name, _| gradients.contains_key(name));
    let outputs = verdicts::accurate_where_possible(&*trial.truth.outputs()?, &shaped(outputs), 0);
    Ok(verdicts::judged([outputs, verdicts::accurate_where_possible(&standards, &gradients, 1)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;
    use crate::truth::Truth;

    #[test]
    fn a_case_has_the_general_ops_that_lose_nothing_of_it() {
        let general = |text: &str| row(&case(text)).map(|(_, problem)| problem.spec.name);
        for (text, expected) in [
            ("delta_rule(seed=0)", Some("gated_delta_rule")),
            ("delta_rule(seed=1)", Some("comba")),
            ("delta_rule(seed=2)", Some("gated_delta_rule")),
            ("delta_rule(dtype=bf16)", Some("gated_delta_rule")),
            ("simple_gla(K=3,absent=g_gamma)", Some("gla")),
            ("simple_gla(K=3,absent=g_gamma,dtype=bf16)", None), // whose gates are short
            ("simple_gla(K=3,absent=g+g_gamma,dtype=bf16)", Some("gla")),
            ("simple_gla(K=3,absent=g)", None), // it has no gates of a head
            ("gated_delta_rule(K=3,softplus_gate=true,absent=dt_bias)", Some("kda")),
            ("gated_delta_rule(K=3,softplus_gate=true)", None), // a bias for each channel
            ("hgrn()", None),
        ] {
            assert_eq!(general(text), expected, "{text}");
        }
    }

    #[test]
    fn what_goes_in_once_and_as_it_is_has_a_gradient_of_its_own() {
        let wanted = |text: &str| {
            let case = case(text);
            let calls = (CHECK.plan)(&case, &Truth::of(&case));
            calls.iter().map(|call| call.want.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(wanted("delta_rule(T=2)"), ["o ht", "d_q d_k d_v d_beta d_h0"]);
        assert_eq!(wanted("delta_rule(T=2,absent=ht,seed=1)"), ["o", "d_q d_v d_beta d_h0"], "its keys go in twice");
        assert_eq!(wanted("simple_gla(T=2,absent=g_gamma+h0)"), ["o ht", "d_q d_k d_v"], "its gates go in spread");
        let (absent, fixed) = (case("simple_gla(absent=g_gamma+h0)"), case("simple_gla(absent=g)"));
        let own = |case: &Case, name: &str| ROWS[1].answers(case, name);
        assert!(own(&absent, "d_q") && own(&absent, "o"));
        assert!(!own(&absent, "d_h0") && !own(&fixed, "d_g_gamma") && !own(&absent, "no such output"));
    }
}
