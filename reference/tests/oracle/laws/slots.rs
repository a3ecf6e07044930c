//! Laws of memories with a fixed number of slots, read by a softmax over them.

use ndarray::{Array2, ArrayD, Axis, concatenate};

use crate::question::{Question, assert_equal, assert_same};
use crate::sample::problem;
use crate::tokens::{additive_gate, assert_is, exp, through_additive_gate, wide};

fn softmax(logits: &ArrayD<f64>) -> ArrayD<f64> {
    let weights = exp(logits);
    let total = wide(&weights.sum_axis(Axis(logits.ndim() - 1)));
    weights / total
}

/// The gradient of logits from that of their softmax along the last axis.
fn through_softmax(p: &ArrayD<f64>, d_p: &ArrayD<f64>) -> ArrayD<f64> {
    let mean = wide(&(p * d_p).sum_axis(Axis(p.ndim() - 1)));
    p * &(d_p - &mean)
}

fn transposed(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut x = x.clone();
    x.swap_axes(2, 3);
    x.as_standard_layout().to_owned()
}

#[test]
fn abc_is_gsa_whose_decay_and_slot_add_up_to_one() {
    for shape in ["B=2,T=7,H=2,HQ=2,K=4,V=3,M=3", "B=2,T=1,H=1,HQ=1,K=3,V=5,M=2,scale=0.4"] {
        let abc = Question::new(problem("abc", shape), 10);
        let mut gsa = Question::new(problem("gsa", shape), 11);
        for name in ["q", "k", "v", "hk0", "hv0"] {
            gsa.set(name, abc.inputs[name].clone());
        }
        let gate = additive_gate(&abc.inputs["s"], &abc.inputs["z0"]);
        gsa.set("g", gate[0].clone());
        gsa.set("s", gate[1].clone());
        for name in ["d_o", "d_hkt", "d_hvt"] {
            gsa.cotangents.insert(name.to_owned(), abc.cotangents[name].clone());
        }
        let (abc_answer, gsa) = (abc.answer(), gsa.answer());
        let names = ["o", "hkt", "hvt", "d_q", "d_k", "d_v", "d_hk0", "d_hv0"];
        assert_same(&shape, &abc_answer, &gsa, &names.map(|n| (n, n)));
        let d = [&gsa.gradients["d_g"], &gsa.gradients["d_s"], &abc.cotangents["d_zt"]];
        let [d_s, d_z0] = through_additive_gate(&gate, d);
        for (name, expected) in [("zt", &gate[2]), ("d_s", &d_s), ("d_z0", &d_z0)] {
            assert_is(shape, &abc_answer, name, expected);
        }
    }
}

/// A lightnet that averages under the logits s of an abc.
fn average(abc: &Question, q: ArrayD<f64>, v: ArrayD<f64>, h0: ArrayD<f64>, seed: u64) -> Question {
    let shape =
        |x: &ArrayD<f64>| [("B", 0), ("T", 1), ("H", 2)].map(|(d, axis)| format!("{d}={},", x.len_of(Axis(axis))));
    let fields = format!("{}K={},V={},scale=1", shape(&v).concat(), q.len_of(Axis(3)), v.len_of(Axis(3)));
    let mut light = Question::new(problem("lightnet", &fields), seed);
    for (name, x) in [("q", q), ("k", abc.inputs["s"].clone()), ("v", v), ("h0", h0), ("z0", abc.inputs["z0"].clone())]
    {
        light.set(name, x);
    }
    light.cotangents.clear();
    light
}

#[test]
fn abc_reads_averages_of_keys_and_of_values_by_lightnet() {
    for shape in ["B=2,T=7,H=2,K=4,V=3,M=3", "B=2,T=1,H=1,K=3,V=5,M=2"] {
        let abc = Question::new(problem("abc", &format!("{shape},scale=0.7")), 12);
        let (slots, q) = (abc.inputs["s"].len_of(Axis(3)), &abc.inputs["q"]);
        // the key of each slot by a query that looks at this one alone
        let mut keys: Vec<Question> = (0..slots)
            .map(|m| {
                let mut one = ArrayD::zeros(abc.inputs["s"].raw_dim());
                one.index_axis_mut(Axis(3), m).fill(1.0);
                average(&abc, one, abc.inputs["k"].clone(), transposed(&abc.inputs["hk0"]), 13)
            })
            .collect();
        let found: Vec<ArrayD<f64>> = keys.iter().map(|q| q.answer().outputs["o"].clone()).collect();
        let logits: Vec<ArrayD<f64>> = found.iter().map(|k| wide(&((q * k).sum_axis(Axis(3)) * 0.7))).collect();
        let logits = concatenate(Axis(3), &logits.iter().map(|x| x.view()).collect::<Vec<_>>()).expect("one shape");
        let p = softmax(&logits);
        let mut values = average(&abc, p.clone(), abc.inputs["v"].clone(), abc.inputs["hv0"].clone(), 14);
        for (name, cotangent) in [("d_o", "d_o"), ("d_ht", "d_hvt"), ("d_zt", "d_zt")] {
            values.cotangents.insert(name.to_owned(), abc.cotangents[cotangent].clone());
        }
        let values = values.answer();
        let d_logits = through_softmax(&p, &values.gradients["d_q"]) * 0.7;
        keys[0].cotangents.insert("d_ht".to_owned(), transposed(&abc.cotangents["d_hkt"]));
        let mut d_q = ArrayD::zeros(q.raw_dim());
        let mut d = [values.gradients["d_k"].clone(), values.gradients["d_z0"].clone()];
        let mut d_keys = [ArrayD::zeros(abc.inputs["k"].raw_dim()), ArrayD::zeros(keys[0].inputs["h0"].raw_dim())];
        for (m, mut key) in keys.into_iter().enumerate() {
            let d_logit = wide(&d_logits.index_axis(Axis(3), m).to_owned());
            d_q += &(&d_logit * &found[m]);
            key.cotangents.insert("d_o".to_owned(), &d_logit * q);
            let from = key.answer().gradients;
            for (total, name) in d.iter_mut().zip(["d_k", "d_z0"]).chain(d_keys.iter_mut().zip(["d_v", "d_h0"])) {
                *total += &from[name];
            }
        }
        let answer = abc.answer();
        assert_same(
            &shape,
            &answer,
            &values,
            &[("o", "o"), ("hvt", "ht"), ("zt", "zt"), ("d_v", "d_v"), ("d_hv0", "d_h0")],
        );
        let expected = [("d_q", &d_q), ("d_s", &d[0]), ("d_z0", &d[1]), ("d_k", &d_keys[0])];
        for (name, expected) in expected.into_iter().chain([("d_hk0", &transposed(&d_keys[1]))]) {
            assert_is(shape, &answer, name, expected);
        }
    }
}

#[test]
fn gsa_is_gla_with_a_value_gate_and_then_gla_with_a_key_gate() {
    for (sizes, packing) in [("B=2,T=7,H=2,HQ=2", ""), ("B=1,T=7,H=2,HQ=2", ",seqs=3+0+4,reverse=true")] {
        let gsa = Question::new(problem("gsa", &format!("{sizes},K=4,V=3,M=5,scale=0.6{packing}")), 15);
        let (x, w) = (&gsa.inputs, &gsa.cotangents);
        let pass = |widths: &str, absent: &str, inputs: [(&str, &ArrayD<f64>); 5]| {
            let mut gla = Question::new(problem("gla", &format!("{sizes}{packing},{widths},absent={absent}")), 16);
            for (name, x) in inputs {
                gla.set(name, x.clone());
            }
            gla
        };
        let first = [("q", &x["q"]), ("k", &x["k"]), ("v", &x["s"]), ("gv", &x["g"]), ("h0", &x["hk0"])];
        let mut first = pass("K=4,V=5,scale=0.6", "g", first);
        let p = softmax(&first.answer().outputs["o"]);
        let second = [("q", &p), ("k", &x["s"]), ("v", &x["v"]), ("g", &x["g"]), ("h0", &x["hv0"])];
        let mut second = pass("K=5,V=3,scale=1", "gv", second);
        second.cotangents.extend([("d_o".to_owned(), w["d_o"].clone()), ("d_ht".to_owned(), w["d_hvt"].clone())]);
        let second = second.answer();
        let d_logits = through_softmax(&p, &second.gradients["d_q"]);
        first.cotangents.extend([("d_o".to_owned(), d_logits), ("d_ht".to_owned(), w["d_hkt"].clone())]);
        let first = first.answer();
        let answer = gsa.answer();
        assert_same(&sizes, &answer, &first, &[("hkt", "ht"), ("d_q", "d_q"), ("d_k", "d_k"), ("d_hk0", "d_h0")]);
        assert_same(&sizes, &answer, &second, &[("o", "o"), ("hvt", "ht"), ("d_v", "d_v"), ("d_hv0", "d_h0")]);
        assert_is(sizes, &answer, "d_s", &(&first.gradients["d_v"] + &second.gradients["d_k"]));
        assert_is(sizes, &answer, "d_g", &(&first.gradients["d_gv"] + &second.gradients["d_g"]));
    }
}

/// Each head twice: `[.., H, ..]` to `[.., 2 H, ..]`.
fn doubled(x: &ArrayD<f64>, axis: Axis) -> ArrayD<f64> {
    let twice: Vec<_> = x.axis_iter(axis).flat_map(|h| [h.clone(), h]).map(|h| h.insert_axis(axis)).collect();
    concatenate(axis, &twice).expect("one shape")
}

/// The sum of the two of each head.
fn paired(x: &ArrayD<f64>, axis: Axis) -> ArrayD<f64> {
    let pairs: Vec<_> = x.axis_chunks_iter(axis, 2).map(|p| p.sum_axis(axis).insert_axis(axis)).collect();
    concatenate(axis, &pairs.iter().map(|x| x.view()).collect::<Vec<_>>()).expect("one shape")
}

#[test]
fn query_heads_that_share_slots_have_each_its_own_copy() {
    let grouped = Question::new(problem("gsa", "B=2,T=5,H=2,HQ=4,K=3,V=4,M=3"), 17);
    let mut apart = Question::new(problem("gsa", "B=2,T=5,H=4,HQ=4,K=3,V=4,M=3"), 18);
    apart.set("q", grouped.inputs["q"].clone());
    let shared = [("k", Axis(2)), ("v", Axis(2)), ("s", Axis(2)), ("g", Axis(2)), ("hk0", Axis(1)), ("hv0", Axis(1))];
    for (name, axis) in shared {
        apart.set(name, doubled(&grouped.inputs[name], axis));
    }
    apart.cotangents.insert("d_o".to_owned(), grouped.cotangents["d_o"].clone());
    for name in ["d_hkt", "d_hvt"] {
        // of both copies, as if each were half of the state
        apart.cotangents.insert(name.to_owned(), doubled(&grouped.cotangents[name], Axis(1)) * 0.5);
    }
    let (grouped, apart) = (grouped.answer(), apart.answer());
    assert_same(&"grouped", &grouped, &apart, &[("o", "o"), ("d_q", "d_q")]);
    for (name, axis) in shared {
        assert_is("grouped", &grouped, &format!("d_{name}"), &paired(&apart.gradients[&format!("d_{name}")], axis));
    }
    for name in ["hkt", "hvt"] {
        assert_is("grouped", &grouped, name, &(paired(&apart.outputs[name], Axis(1)) * 0.5));
    }
}

/// Causal softmax attention in which query i sees, beside the tokens up to i, `slots - 1 - i` keys and values of zero:
/// o, and the gradients by q, k and v, of one row and head.
fn attention(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    d_o: &Array2<f64>,
    scale: f64,
    slots: usize,
) -> [Array2<f64>; 4] {
    let (mut o, mut d_q, mut d_k, mut d_v) = (v * 0.0, q * 0.0, k * 0.0, v * 0.0);
    for i in 0..q.nrows() {
        let weights: Vec<f64> = (0..=i).map(|j| (scale * q.row(i).dot(&k.row(j))).exp()).collect();
        let total = weights.iter().sum::<f64>() + (slots - 1 - i) as f64;
        for (j, weight) in weights.iter().enumerate() {
            o.row_mut(i).scaled_add(weight / total, &v.row(j));
        }
        for (j, weight) in weights.iter().enumerate() {
            let p = weight / total;
            let d_logit = scale * p * (d_o.row(i).dot(&v.row(j)) - d_o.row(i).dot(&o.row(i)));
            d_q.row_mut(i).scaled_add(d_logit, &k.row(j));
            d_k.row_mut(j).scaled_add(d_logit, &q.row(i));
            d_v.row_mut(j).scaled_add(p, &d_o.row(i));
        }
    }
    [o, d_q, d_k, d_v]
}

#[test]
fn gsa_with_a_slot_for_each_token_is_attention_beside_empty_keys() {
    for (tokens, slots) in [(5, 5), (6, 9), (1, 3)] {
        let fields = format!("B=1,T={tokens},H=1,HQ=1,K=4,V=3,M={slots},absent=hk0+hv0,scale=0.8");
        let mut gsa = Question::new(problem("gsa", &fields), 19);
        let one = |at: &[usize]| f64::from(u8::from(at[1] == at[3]));
        gsa.set("s", ArrayD::from_shape_fn(vec![1, tokens, 1, slots], |at| one(&[at[0], at[1], at[2], at[3]])));
        gsa.set("g", ArrayD::zeros(gsa.inputs["g"].raw_dim()));
        for name in ["d_hkt", "d_hvt"] {
            gsa.cotangents.remove(name);
        }
        let rows = |x: &ArrayD<f64>| x.to_shape((tokens, x.len() / tokens)).expect("one row, one head").to_owned();
        let [q, k, v] = ["q", "k", "v"].map(|n| rows(&gsa.inputs[n]));
        let expected = attention(&q, &k, &v, &rows(&gsa.cotangents["d_o"]), 0.8, slots);
        let answer = gsa.answer();
        for (name, expected) in ["o", "d_q", "d_k", "d_v"].into_iter().zip(expected) {
            let shape = answer.outputs.get(name).or(answer.gradients.get(name)).expect("a name").raw_dim();
            assert_is(&fields, &answer, name, &expected.into_shape_with_order(shape).expect("as many"));
        }
    }
}

/// `[.., M]` times `[M, N]`.
fn times(x: &ArrayD<f64>, matrix: &Array2<f64>) -> ArrayD<f64> {
    let mut shape = x.shape().to_vec();
    let width = shape.pop().expect("a last axis");
    let rows = x.to_shape((x.len() / width, width)).expect("rows of that width").dot(matrix);
    shape.push(matrix.ncols());
    rows.into_shape_with_order(shape).expect("as many rows")
}

/// A matrix for each row of the second last axis.
fn times_left(x: &ArrayD<f64>, matrix: &Array2<f64>) -> ArrayD<f64> {
    transposed(&times(&transposed(x), matrix))
}

/// What a slot is in the coordinates of the ring: `[C, C + 1]`.
fn ring(slots: usize) -> Array2<f64> {
    Array2::from_shape_fn((slots, slots + 1), |(c, m)| {
        let angle = std::f64::consts::TAU * (m / 2 * c) as f64 / slots as f64;
        let factor = (if m < 2 { 1.0 } else { 2.0 } / slots as f64).sqrt();
        factor * if m % 2 == 0 { angle.cos() } else { -angle.sin() }
    })
}

/// One over the root mean square of the last axis.
fn inverse_rms(x: &ArrayD<f64>, eps: f64) -> ArrayD<f64> {
    wide(&((x * x).mean_axis(Axis(3)).expect("a width") + eps).mapv(|m| 1.0 / m.sqrt()))
}

/// Gradients by x and the weight from that of their RMS norm.
fn through_rms(x: &ArrayD<f64>, weight: &ArrayD<f64>, eps: f64, d: &ArrayD<f64>) -> [ArrayD<f64>; 2] {
    let (r, d_unit) = (inverse_rms(x, eps), d * weight);
    let along = wide(&(&d_unit * x).mean_axis(Axis(3)).expect("a width"));
    let d_weight = (d * x * &r).sum_axis(Axis(0)).sum_axis(Axis(0)).sum_axis(Axis(0));
    [&d_unit * &r - x * &(along * &r * &r * &r), d_weight]
}

#[test]
fn cyfa_by_whole_steps_is_gsa_that_writes_one_slot_after_another() {
    let (steps, start, slots) = ([1.0, 2.0, 0.0, 1.0, -2.0, 4.0, 1.0], 3.0, 5);
    let clock: Vec<f64> = (0..steps.len()).map(|t| start + steps[..=t].iter().sum::<f64>()).collect();
    let slot: Vec<usize> = clock.iter().map(|l| l.rem_euclid(slots as f64) as usize).collect();
    let fields = "B=2,T=7,H=2,K=4,V=3,C=5,M=6,scale=0.9,q_norm_eps=0.25";
    let mut cyfa = Question::new(problem("cyfa", fields), 20);
    let mut gsa = Question::new(problem("gsa", "B=2,T=7,H=2,HQ=2,K=4,V=3,M=5,scale=0.9"), 21);
    cyfa.set("delta", ArrayD::from_shape_fn(vec![2, 7, 2], |at| steps[at[1]]));
    cyfa.set("lambda0", ArrayD::from_elem(vec![2, 2], start));
    cyfa.set("readout", ArrayD::from_shape_fn(vec![2, slots, slots], |at| f64::from(u8::from(at[1] == at[2]))));
    let norms = [("q", "q_norm_weight", 0.25), ("k", "k_norm_weight", 1e-5)];
    for (name, weight, eps) in norms {
        let x = &cyfa.inputs[name];
        gsa.set(name, x * &inverse_rms(x, eps) * &cyfa.inputs[weight]);
    }
    let (beta, g) = (cyfa.inputs["beta"].clone(), cyfa.inputs["g"].clone());
    let written = |at: [usize; 4]| if slot[at[1]] == at[3] { beta[[at[0], at[1], at[2]]] } else { 0.0 };
    gsa.set("s", ArrayD::from_shape_fn(vec![2, 7, 2, slots], |at| written([at[0], at[1], at[2], at[3]])));
    gsa.set("g", ArrayD::from_shape_fn(vec![2, 7, 2, slots], |at| g[[at[0], at[1], at[2]]]));
    gsa.set("v", cyfa.inputs["v"].clone());
    let (to, back) = (ring(slots), ring(slots).reversed_axes());
    cyfa.set("hk0", times(&gsa.inputs["hk0"], &to));
    cyfa.set("hv0", times_left(&gsa.inputs["hv0"], &to));
    gsa.cotangents.insert("d_o".to_owned(), cyfa.cotangents["d_o"].clone());
    gsa.cotangents.insert("d_hkt".to_owned(), times(&cyfa.cotangents["d_hkt"], &back));
    gsa.cotangents.insert("d_hvt".to_owned(), times_left(&cyfa.cotangents["d_hvt"], &back));

    let (inputs, mut answer, gsa) = (cyfa.inputs.clone(), cyfa.answer(), gsa.answer());
    assert_same(&fields, &answer, &gsa, &[("o", "o"), ("d_v", "d_v")]);
    assert_is(fields, &answer, "hkt", &times(&gsa.outputs["hkt"], &to));
    assert_is(fields, &answer, "hvt", &times_left(&gsa.outputs["hvt"], &to));
    let d = &gsa.gradients;
    for (name, weight, eps) in norms {
        let [d_x, d_weight] = through_rms(&inputs[name], &inputs[weight], eps, &d[&format!("d_{name}")]);
        assert_is(fields, &answer, &format!("d_{name}"), &d_x);
        assert_is(fields, &answer, &format!("d_{weight}"), &d_weight);
    }
    let d_beta = |at: [usize; 3]| d["d_s"][[at[0], at[1], at[2], slot[at[1]]]];
    assert_is(fields, &answer, "d_beta", &ArrayD::from_shape_fn(vec![2, 7, 2], |at| d_beta([at[0], at[1], at[2]])));
    assert_is(fields, &answer, "d_g", &d["d_g"].sum_axis(Axis(3)));
    let by_state = [("d_hk0", times as fn(&_, &_) -> _), ("d_hv0", times_left)];
    for (name, times) in by_state {
        let by_slot = times(&answer.gradients[name], &back);
        answer.gradients.insert(name.to_owned(), by_slot);
    }
    assert_same(&fields, &answer, &gsa, &[("d_hk0", "d_hk0"), ("d_hv0", "d_hv0")]);
}

#[test]
fn without_states_only_differences_of_the_clock_count() {
    for fields in ["B=2,T=6,H=2,K=3,V=4,C=3,M=4", "B=1,T=7,H=1,K=4,V=2,C=1,M=2,seqs=3+0+4"] {
        let mut now = Question::new(problem("cyfa", &format!("{fields},absent=hk0+hv0")), 22);
        for name in ["d_hkt", "d_hvt", "d_lambdat"] {
            now.cotangents.remove(name);
        }
        let answer = |question: &Question| {
            let mut answer = question.answer();
            answer.outputs.retain(|name, _| name == "o");
            // rounding is all that there is of the gradients by a single slot's clock
            answer.gradients.retain(|name, _| !["d_lambda0", "d_delta"].contains(&name.as_str()));
            answer
        };
        let before = answer(&now);
        now.set("lambda0", &now.inputs["lambda0"] + 40.37);
        assert_equal(&fields, &answer(&now), &before);
    }
}
