use reference::spec::OpSpec;
use reference::tensor::Tensor;

use super::*;
use crate::candidate::Reply;
use crate::candidate::around::Around;
use crate::candidate::local::Reference;

/// Carries its state from piece to piece in `bf16`.
fn coarse() -> impl Candidate {
    Around::new(|oracle, request| {
        let mut request = request.clone();
        let tokens = request.problem.size(Dim::T);
        let (all, inputs) = (request.problem.clone(), request.inputs.clone());
        let mut parts = Vec::new();
        for start in (0..tokens).step_by(16) {
            let end = (start + 16).min(tokens);
            request.problem = walk::first(&all, end - start);
            for port in all.inputs().filter(|p| OpSpec::per_token(p)) {
                request.inputs.insert(port.name.to_owned(), inputs[port.name].narrow(1, start..end));
            }
            let Reply::Done { tensors, .. } = oracle.call(&request) else { return Reply::Failed("a piece".into()) };
            let state = Tensor::from_array(&tensors["ht"].to_array(), DType::Bf16);
            request.inputs.insert("h0".into(), Tensor::from_array(&state.to_array(), tensors["ht"].dtype()));
            parts.push(tensors);
        }
        let outputs: Vec<&Tensor> = parts.iter().map(|p| &p["o"]).collect();
        let whole = Tensor::concat(1, &outputs).expect("pieces differ in their tokens alone");
        let last = request.inputs["h0"].clone();
        Reply::Done { tensors: [("o".to_owned(), whole), ("ht".to_owned(), last)].into(), ran: "coarse".into() }
    })
}

fn curves(candidate: &mut dyn Candidate) -> Vec<Curve> {
    let args = DriftArgs {
        candidate: "reference".into(),
        shortest: 5,
        longest: 11,
        gradients: 0,
        width: 4,
        profiles: vec!["slow_decay".into()],
        dtypes: vec!["f32".into()],
        out: ".".into(),
        timeout: 1,
        json: true,
        filters: vec!["simple_gla".into()],
    };
    let [case] = cases(&args, candidate).try_into().expect("one op, one profile, one type");
    measured(candidate, &case, &args).expect("a valid case")
}

#[test]
fn plain_code_does_not_drift() {
    let found = curves(&mut Reference::default());
    let ports: Vec<&str> = found.iter().map(|c| c.port.as_str()).collect();
    assert_eq!(ports, ["ht", "o"]);
    for curve in found {
        assert_eq!(curve.error.len(), 7);
        assert!(curve.wrong.is_none(), "{}", page::line(&curve));
    }
}

#[test]
fn a_state_that_is_kept_too_coarsely_drifts() {
    let found = curves(&mut coarse());
    assert!(found.iter().any(|c| c.wrong.is_some()), "{}", found.iter().map(page::line).collect::<String>());
}
