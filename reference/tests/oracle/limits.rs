//! What an answer may cost: peak memory and processor time of the largest questions, each measured in a process of its
//! own. `cargo test --release -p reference --test oracle limits -- --nocapture` shows the numbers. Processor time
//! bounds the wall time on idle cores, and other processes do not lengthen it.

use std::process::Command;

use crate::sample::{Random, problem};
use reference::ops::OPS;
use reference::oracle;
use reference::spec::{Dim, OpSpec};

/// Set in the child that does the work.
const CHILD: &str = "REFERENCE_LIMITS_CHILD";

struct Cost {
    seconds: f64,
    bytes: u64,
}

/// Runs `work` in a child process on two threads; `None` in that child, when it is done.
fn measure(test: &str, work: impl FnOnce()) -> Option<Cost> {
    if std::env::var_os(CHILD).is_some() {
        work();
        println!("\ncost {} {}", processor_seconds(), peak());
        return None;
    }
    let child = Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", &format!("limits::{test}"), "--nocapture", "--include-ignored"])
        .env(CHILD, "1")
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .expect("the test starts itself again");
    let text = String::from_utf8_lossy(&child.stdout);
    text.lines().filter(|l| l.starts_with("| ")).for_each(|row| println!("{row}"));
    let line = text.lines().find_map(|l| l.strip_prefix("cost ")).unwrap_or_else(|| panic!("no cost in {child:?}"));
    let (seconds, bytes) = line.split_once(' ').expect("two numbers");
    Some(Cost { seconds: seconds.parse().expect("seconds"), bytes: bytes.parse().expect("bytes") })
}

/// Largest resident size so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

/// Seconds of all threads, in user and system mode.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the kernel tells");
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().expect("ticks"));
    // the kernel counts 100 ticks a second for every reader
    ticks.sum::<f64>() / 100.0
}

fn gradient(op: &str, fields: &str) {
    let problem = problem(op, fields);
    let mut random = Random::new(1);
    let (inputs, cotangents) = (random.inputs(&problem), random.cotangents(&problem));
    let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
    let answer = oracle::gradients(&problem, &inputs, &cotangents, &want).expect("a valid question");
    assert!(answer.gradients.values().all(|g| g.iter().all(|x| x.is_finite())));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures optimised code")]
fn a_gradient_of_4096_tokens_at_width_128_needs_less_than_2_gib_and_60_s() {
    let name = "a_gradient_of_4096_tokens_at_width_128_needs_less_than_2_gib_and_60_s";
    let work = || {
        gradient("simple_gla", "B=1,T=4096,H=2,K=128,V=128,absent=g_gamma");
        gradient("gated_delta_rule", "B=1,T=4096,H=2,HV=2,K=128,V=128");
    };
    let Some(cost) = measure(name, work) else { return };
    println!("{:.1} s, {} MiB for both ops", cost.seconds, cost.bytes >> 20);
    assert!(cost.bytes < 2 << 30, "{} bytes", cost.bytes);
    assert!(cost.seconds < 60.0, "{} s", cost.seconds);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures optimised code")]
fn a_forward_pass_of_65536_tokens_at_width_64_needs_less_than_5_s() {
    let name = "a_forward_pass_of_65536_tokens_at_width_64_needs_less_than_5_s";
    let work = || {
        let problem = problem("gated_delta_rule", "B=1,T=65536,H=1,HV=1,K=64,V=64");
        let inputs = Random::new(2).inputs(&problem);
        let outputs = oracle::forward(&problem, &inputs).expect("a valid question");
        assert!(outputs["ht"].iter().all(|x| x.is_finite()));
    };
    let Some(cost) = measure(name, work) else { return };
    println!("{:.1} s", cost.seconds);
    assert!(cost.seconds < 5.0, "{} s", cost.seconds);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures optimised code")]
fn gradients_of_attention_over_2048_tokens_need_less_than_2_gib() {
    let name = "gradients_of_attention_over_2048_tokens_need_less_than_2_gib";
    let work = || {
        gradient("attn", "B=1,T=2048,H=1,HQ=2,K=128,V=256,absent=sink_bias");
        gradient("path_attn", "B=1,T=1024,H=1,HQ=2,K=128,V=128");
    };
    let Some(cost) = measure(name, work) else { return };
    println!("{:.1} s, {} MiB", cost.seconds, cost.bytes >> 20);
    assert!(cost.bytes < 2 << 30, "{} bytes", cost.bytes);
}

/// Recurrences whose state is no port.
const RECURRENT: [&str; 3] = ["log_linear_attn", "titans", "ttt"];

/// Tokens: many for a recurrence, fewer where the work may grow with their square.
fn tokens(spec: &OpSpec) -> usize {
    if spec.states.is_empty() && !RECURRENT.contains(&spec.name) { 2048 } else { 16384 }
}

/// Processor seconds for one head of an op.
fn forward(spec: &OpSpec) -> f64 {
    let mut problem = problem(spec.name, "B=1,H=1,HV=1,HQ=1,K=64,V=64,D=64,M=64,C=63,L=16,R=2");
    problem.sizes.insert(Dim::T, tokens(spec));
    problem.mend();
    let inputs = Random::new(1).inputs(&problem);
    let start = processor_seconds();
    oracle::forward(&problem, &inputs).expect("a valid question");
    processor_seconds() - start
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures optimised code")]
fn one_head_of_any_op_over_a_long_sequence_needs_less_than_10_s_forwards() {
    let name = "one_head_of_any_op_over_a_long_sequence_needs_less_than_10_s_forwards";
    let work = || {
        for spec in OPS {
            let seconds = forward(spec);
            println!("| {:<28} {:>6} tokens {seconds:>6.2} s", spec.name, tokens(spec));
            assert!(seconds < 10.0, "{}: {seconds} s", spec.name);
        }
    };
    measure(name, work);
}
