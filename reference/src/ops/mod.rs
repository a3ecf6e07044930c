//! The table of ops. One file and one row each.

pub mod abc;
pub mod addmm;
pub mod atk;
pub mod attn;
pub mod attnres;
pub mod based;
pub mod beta_sigmoid;
pub mod comba;
pub mod cumsum;
pub mod cyfa;
pub mod delta_rule;
pub mod deltaformer;
pub mod dplr;
pub mod dsa;
pub mod forgetting_attn;
pub mod gated_delta_product;
pub mod gated_delta_rule;
pub mod gated_oja_rule;
pub mod gdn2;
pub mod gdn_gate;
pub mod gla;
pub mod gsa;
pub mod hgrn;
pub mod iplr;
pub mod kda;
pub mod kda_gate;
pub mod lightnet;
pub mod lightning_attn;
pub mod linear_attn;
pub mod local_cumsum;
pub mod log_linear_attn;
pub mod logsumexp;
pub mod matmul;
pub mod mean_pooling;
pub mod mesa_net;
pub mod moba;
pub mod momentum_delta_rule;
pub mod normalized_linear_attn;
pub mod nsa;
pub mod parallax;
pub mod path_attn;
pub mod precond_gated_delta_rule;
pub mod precond_kda;
pub mod rebased;
pub mod retention;
pub mod rwkv4;
pub mod rwkv6;
pub mod rwkv7;
pub mod rwkv7_channel_mixing;
pub mod rwkv7_key;
pub mod rwkv7_output_gate;
pub mod rwkv7_token_shift;
pub mod simple_gla;
pub mod sinkhorn;
pub mod softmax;
pub mod softplus;
pub mod stickbreaking_attn;
pub mod titans;
pub mod triangular_inverse;
pub mod ttt;
pub mod wall_attn;

use crate::spec::OpSpec;

/// Every op there is.
pub static OPS: &[&OpSpec] = &[
    &abc::SPEC,
    &addmm::SPEC,
    &atk::SPEC,
    &attn::SPEC,
    &attnres::SPEC,
    &based::SPEC,
    &beta_sigmoid::SPEC,
    &comba::SPEC,
    &cumsum::SPEC,
    &cyfa::SPEC,
    &delta_rule::SPEC,
    &deltaformer::SPEC,
    &dplr::SPEC,
    &dsa::SPEC,
    &forgetting_attn::SPEC,
    &gated_delta_product::SPEC,
    &gated_delta_rule::SPEC,
    &gated_oja_rule::SPEC,
    &gdn2::SPEC,
    &gdn_gate::SPEC,
    &gla::SPEC,
    &gsa::SPEC,
    &hgrn::SPEC,
    &iplr::SPEC,
    &kda::SPEC,
    &kda_gate::SPEC,
    &lightnet::SPEC,
    &lightning_attn::SPEC,
    &linear_attn::SPEC,
    &local_cumsum::SPEC,
    &log_linear_attn::SPEC,
    &logsumexp::SPEC,
    &matmul::SPEC,
    &mean_pooling::SPEC,
    &mesa_net::SPEC,
    &moba::SPEC,
    &momentum_delta_rule::SPEC,
    &normalized_linear_attn::SPEC,
    &nsa::SPEC,
    &parallax::SPEC,
    &path_attn::SPEC,
    &precond_gated_delta_rule::SPEC,
    &precond_kda::SPEC,
    &rebased::SPEC,
    &retention::SPEC,
    &rwkv4::SPEC,
    &rwkv6::SPEC,
    &rwkv7::SPEC,
    &rwkv7_channel_mixing::SPEC,
    &rwkv7_key::SPEC,
    &rwkv7_output_gate::SPEC,
    &rwkv7_token_shift::SPEC,
    &simple_gla::SPEC,
    &sinkhorn::SPEC,
    &softmax::SPEC,
    &softplus::SPEC,
    &stickbreaking_attn::SPEC,
    &titans::SPEC,
    &triangular_inverse::SPEC,
    &ttt::SPEC,
    &wall_attn::SPEC,
];
