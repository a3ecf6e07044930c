//! The three functions of a shared object, and memory between fences to call them with.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;

use libloading::os::unix::Symbol;
use reference::tensor::{DType, Tensor};

use super::Error;

const VERSION: i32 = 1;
const OK: i32 = 0;
const OUT_OF_MEMORY: i32 = 12;
const DECLINED: i32 = 89;

/// Guard bytes on either side of each buffer.
const FENCE: usize = 4096;

/// What the guard bytes hold: no byte of a NaN, of zero or of the huge fill.
const PATTERN: u8 = 0xA5;

const ALIGNMENT: usize = 64;

#[repr(C)]
struct RawTensor {
    name: *const c_char,
    dtype: i32,
    rank: i32,
    shape: *const i64,
    data: *mut c_void,
}

#[repr(C)]
struct RawCall {
    op: *const c_char,
    attrs_json: *const c_char,
    inputs: *const RawTensor,
    n_inputs: usize,
    cotangents: *const RawTensor,
    n_cotangents: usize,
    outputs: *const RawTensor,
    n_outputs: usize,
}

#[repr(C)]
struct RawHello {
    abi_version: i32,
    name: *const c_char,
    version: *const c_char,
    device: *const c_char,
    ops: *const c_char,
}

type HelloFn = unsafe extern "C" fn(*mut RawHello) -> i32;
type CallFn = unsafe extern "C" fn(*const RawCall) -> i32;
type LastErrorFn = unsafe extern "C" fn() -> *const c_char;

/// Who a library says it is.
pub(super) struct LibraryHello {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) device: String,
    pub(super) ops: String,
}

/// What a call came to.
pub(super) enum Outcome {
    Ok,
    Declined(String),
    OutOfMemory(String),
    Failed(String),
}

/// A loaded shared object.
#[derive(Debug)]
pub(super) struct Library {
    hello: Symbol<HelloFn>,
    call: Symbol<CallFn>,
    last_error: Symbol<LastErrorFn>,
    // last, so that the symbols go first
    _library: libloading::Library,
}

impl Library {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // a bare file name would be searched in the system's folders
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let path = || path.display().to_string();
        // SAFETY: the user asks for this library's code to be run, its initialisers included.
        let library =
            unsafe { libloading::Library::new(file) }.map_err(|source| Error::Load { path: path(), source })?;
        let absent = |name| move |source| Error::Function { path: path(), name, source };
        // SAFETY: candidate.h declares this name with this type.
        let hello = unsafe { library.get::<HelloFn>(c"fla_candidate_hello") }.map_err(absent("fla_candidate_hello"))?;
        // SAFETY: as above.
        let call = unsafe { library.get::<CallFn>(c"fla_candidate_call") }.map_err(absent("fla_candidate_call"))?;
        // SAFETY: as above.
        let last_error = unsafe { library.get::<LastErrorFn>(c"fla_candidate_last_error") }
            .map_err(absent("fla_candidate_last_error"))?;
        // SAFETY: the symbols live in the same struct as the library, which is dropped after them.
        let (hello, call, last_error) = unsafe { (hello.into_raw(), call.into_raw(), last_error.into_raw()) };
        Ok(Self { hello, call, last_error, _library: library })
    }

    pub(super) fn hello(&self, path: &Path) -> Result<LibraryHello, Error> {
        let path = || path.display().to_string();
        let none = ptr::null();
        let mut raw = RawHello { abi_version: 0, name: none, version: none, device: none, ops: none };
        // SAFETY: `raw` has the layout of candidate.h and outlives the call.
        let code = unsafe { (self.hello)(&raw mut raw) };
        if code != OK {
            return Err(Error::Hello { path: path(), code, message: self.last_error() });
        }
        if raw.abi_version != VERSION {
            return Err(Error::Version { path: path(), got: raw.abi_version, expected: VERSION });
        }
        let [name, version, device, ops] = [raw.name, raw.version, raw.device, raw.ops].map(text);
        Ok(LibraryHello { name, version, device, ops })
    }

    pub(super) fn call(
        &self,
        op: &str,
        attrs: &str,
        inputs: &mut [Argument],
        cotangents: &mut [Argument],
        outputs: &mut [Argument],
    ) -> Outcome {
        let (op, attrs) = (c_string(op), c_string(attrs));
        let [inputs, cotangents, outputs] =
            [inputs, cotangents, outputs].map(|a| a.iter_mut().map(Argument::raw).collect::<Vec<_>>());
        let raw = RawCall {
            op: op.as_ptr(),
            attrs_json: attrs.as_ptr(),
            inputs: inputs.as_ptr(),
            n_inputs: inputs.len(),
            cotangents: cotangents.as_ptr(),
            n_cotangents: cotangents.len(),
            outputs: outputs.as_ptr(),
            n_outputs: outputs.len(),
        };
        // SAFETY: every pointer is to memory that outlives the call, with the layout of candidate.h; a library that
        // breaks the contract takes down this process, which exists for that.
        match unsafe { (self.call)(&raw const raw) } {
            OK => Outcome::Ok,
            DECLINED => Outcome::Declined(self.last_error()),
            OUT_OF_MEMORY => Outcome::OutOfMemory(self.last_error()),
            code => Outcome::Failed(format!("status {code}: {}", self.last_error())),
        }
    }

    fn last_error(&self) -> String {
        // SAFETY: candidate.h declares this type.
        text(unsafe { (self.last_error)() })
    }
}

/// One tensor's memory: fence, data, fence.
pub(super) struct Argument {
    name: CString,
    dtype: DType,
    shape: Vec<i64>,
    memory: Vec<u8>,
    start: usize,
    /// What an input held.
    sent: Option<Tensor>,
    extents: Vec<usize>,
}

impl Argument {
    pub(super) fn input(name: &str, tensor: &Tensor) -> Self {
        Self { sent: Some(tensor.clone()), ..Self::output(name, tensor) }
    }

    /// An output that holds `fill`.
    pub(super) fn output(name: &str, fill: &Tensor) -> Self {
        let mut memory = vec![PATTERN; fill.bytes().len() + 2 * FENCE + ALIGNMENT];
        let start = FENCE + memory.as_ptr().wrapping_add(FENCE).align_offset(ALIGNMENT);
        memory[start..start + fill.bytes().len()].copy_from_slice(fill.bytes());
        let extents = fill.shape().to_vec();
        let shape = extents.iter().map(|&n| n as i64).collect();
        Self { name: c_string(name), dtype: fill.dtype(), shape, memory, start, sent: None, extents }
    }

    fn raw(&mut self) -> RawTensor {
        RawTensor {
            name: self.name.as_ptr(),
            dtype: code(self.dtype),
            rank: self.shape.len() as i32,
            shape: self.shape.as_ptr(),
            data: self.memory[self.start..].as_mut_ptr().cast(),
        }
    }

    fn data(&self) -> &[u8] {
        let bytes = self.extents.iter().product::<usize>() * self.dtype.size();
        &self.memory[self.start..self.start + bytes]
    }

    /// What was written where nothing may be written.
    pub(super) fn fault(&self) -> Option<String> {
        let name = self.name.to_string_lossy();
        let (before, after) = (&self.memory[..self.start], &self.memory[self.start + self.data().len()..]);
        let broken = |fence: &[u8]| fence.iter().any(|&b| b != PATTERN);
        if broken(before) {
            return Some(format!("wrote before the start of {name}"));
        }
        if broken(after) {
            return Some(format!("wrote past the end of {name}"));
        }
        let changed = self.sent.as_ref().is_some_and(|sent| sent.bytes() != self.data());
        changed.then(|| format!("wrote into its input {name}"))
    }

    pub(super) fn into_tensor(self) -> (String, Tensor) {
        let tensor = Tensor::from_bytes(self.dtype, &self.extents, self.data().to_vec());
        (self.name.to_string_lossy().into_owned(), tensor.expect("the data was cut to the shape"))
    }
}

/// The number of candidate.h.
const fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F64 => 0,
        DType::F32 => 1,
        DType::F16 => 2,
        DType::Bf16 => 3,
        DType::I64 => 4,
    }
}

fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: not null, and candidate.h asks for a string that lives until the next call.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}

/// Names and JSON hold no NUL; a name that did would be cut there.
fn c_string(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}
