//! Laws: independent ways to the same outputs and gradients.

mod attn;
mod averages;
mod decay;
mod delta;
mod depth;
mod gates;
mod losses;
mod memory;
mod modules;
mod ops;
mod path;
mod precond;
mod product;
mod rwkv;
mod rwkv7;
mod slots;
mod sparse;
mod ttt;
