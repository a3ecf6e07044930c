//! The fields of configurations.

use serde_json::Value;

use super::draft::Draft;
use crate::spec::Dim;

/// The fields of a model: its own, and groups of those that it shares. An own one stands before a shared one of that
/// name.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Fields that it has alone, or with a default or a meaning of its own.
    pub own: &'static [Field],
    /// Groups of fields.
    pub shared: &'static [&'static [Field]],
}

/// One field of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Upstream's name.
    pub name: &'static str,
    /// Upstream's default, as JSON; `None` where the constructor has no such argument, but what it saves has the field.
    pub default: Option<&'static str>,
    /// What it means.
    pub means: Means,
}

/// What a field means.
#[derive(Debug, Clone, Copy)]
pub enum Means {
    /// It changes no answer: how it is computed, how weights begin, what a tokenizer needs.
    Idle,
    /// Only the default is supported.
    Only,
    /// It is that extent.
    Extent(Dim),
    /// It is the first extent; where it is null, the first is as the second.
    Like(Dim, Dim),
    /// It is both extents.
    Both(Dim, Dim),
    /// It is that number of heads, which share the width of the model out among themselves: `K` is `D` over it.
    Heads(Dim),
    /// The width of a head, the first, is the model's width times it, shared out among the second.
    Share(Dim, Dim),
    /// The first extent is the second times it, rounded down, unless another field says what it is.
    Times(Dim, Dim),
    /// It is the attribute of that name; null is what the attribute derives, or the word `none`.
    Option(&'static str),
    /// The weights whose names end so exist where it is true.
    Weights(&'static [&'static str]),
    /// Another name of a field, which counts where it is given.
    Instead(&'static str),
    /// It is the number of blocks.
    Depth,
    /// It is the inner width of feed-forward networks; where it is null, that follows from `hidden_ratio`.
    Inner,
    /// Blocks of softmax attention and their sizes; keys that upstream does not hand on.
    Hybrid(&'static [&'static str]),
    /// Half-blocks of a sum of attention residuals; null is none.
    Residuals,
    /// It does this to the draft, or is not what is said to be expected.
    By(fn(&mut Draft, &Value) -> Result<(), &'static str>),
}

impl Field {
    /// The default as a value.
    #[must_use]
    pub fn default(&self) -> Option<Value> {
        self.default.map(|text| serde_json::from_str(text).expect("the tables hold JSON, which a test reads"))
    }
}

/// `fields![num_heads = 4 => Extent(HQ), …]`: name, upstream's default in JSON, meaning.
#[macro_export]
macro_rules! fields {
    (@) => { None };
    (@ $default:expr) => { Some(stringify!($default)) };
    ($($name:ident $(= $default:expr)? => $means:expr),* $(,)?) => {
        &[$($crate::models::config::Field {
            name: stringify!($name),
            default: $crate::fields!(@ $($default)?),
            means: $means,
        }),*]
    };
}

use Means::{Depth, Extent, Hybrid, Idle, Inner, Only, Option as Set, Residuals};

/// What almost every decoder has.
pub const SKELETON: &[Field] = fields![
    vocab_size = 32000 => Extent(Dim::S),
    hidden_size = 2048 => Extent(Dim::D),
    num_hidden_layers = 24 => Depth,
    hidden_ratio = 4 => Idle,
    intermediate_size = null => Inner,
    hidden_act = "swish" => Only,
    norm_eps = 1e-06 => Set("norm_eps"),
    tie_word_embeddings = false => Set("tie_word_embeddings"),
    initializer_range = 0.02 => Idle,
    use_cache = true => Idle,
    pad_token_id = null => Idle,
    bos_token_id = 1 => Idle,
    eos_token_id = 2 => Idle,
    fuse_norm = true => Idle,
    fuse_swiglu = true => Idle,
    fuse_cross_entropy = true => Idle,
];

/// What the models of a backbone have whose blocks are a norm and a layer.
pub const MIXER: &[Field] = fields![
    vocab_size = 32000 => Extent(Dim::S),
    hidden_size = 2048 => Extent(Dim::D),
    num_hidden_layers = 48 => Depth,
    norm_eps = 1e-05 => Set("norm_eps"),
    tie_word_embeddings = false => Set("tie_word_embeddings"),
    initializer_range = 0.02 => Idle,
    use_cache = true => Idle,
    pad_token_id = 0 => Idle,
    bos_token_id = 1 => Idle,
    eos_token_id = 2 => Idle,
    fuse_norm = true => Idle,
    fuse_cross_entropy = true => Idle,
    fuse_linear_cross_entropy = false => Idle,
    use_l2warp = false => Idle,
];

/// How upstream computes its loss, besides.
pub const LOSS: &[Field] = fields![fuse_linear_cross_entropy = false => Idle, use_l2warp = false => Idle];

/// The length for which upstream keeps tables of positions.
pub const POSITIONS: &[Field] = fields![max_position_embeddings = 2048 => Idle];

pub(super) const RESIDUALS: &[Field] = fields![attnres_block_size = null => Residuals];
pub(super) const HYBRID: &[Field] = fields![attn = null => Hybrid(&[])];

/// Fields of transformers itself: they change no answer.
pub const TRANSFORMERS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "rope_parameters",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
];
