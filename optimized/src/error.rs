//! Why kernels did not give an answer.

/// What went wrong, in one plain sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernels do not offer this.
    #[error("{0}")]
    Declined(String),
    /// There is no driver or no device, or it cannot be used.
    #[error("{0}")]
    NoDevice(String),
    /// There is no run-time compiler.
    #[error("{0}")]
    NoCompiler(String),
    /// A kernel does not compile: a fault of ours.
    #[error("kernel {kernel} does not compile: {log}")]
    Compile {
        /// Symbol of the kernel.
        kernel: String,
        /// The compiler's log.
        log: String,
    },
    /// A kernel wrote outside its buffers.
    #[error("memory around {0} was written, or {0} is an input that was changed")]
    Trespass(String),
    /// The device has no memory left.
    #[error("the device has no memory left")]
    OutOfMemory,
    /// The driver reports an error; the context may be beyond use.
    #[error("{call}: {message}")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// What it says.
        message: String,
    },
}
