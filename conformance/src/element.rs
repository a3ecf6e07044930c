//! Element types as safetensors name them: on the wire and in checkpoints.

use reference::tensor::DType;
use safetensors::Dtype;

/// Safetensors' name of a type.
pub(crate) const fn stored(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
    }
}

/// Our type of that name; `None` where we have none.
pub(crate) fn known(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| stored(d) == dtype)
}
