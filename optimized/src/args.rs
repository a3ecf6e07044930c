//! Arguments of a kernel as its C++ struct lays them out: pointers, 64-bit integers, 32-bit integers, floats.

/// Address of a buffer on the device; 0 is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ptr(pub(crate) u64);

impl Ptr {
    pub(crate) const NULL: Self = Self(0);

    /// The address this many bytes further on.
    pub(crate) const fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// The bytes of an argument struct, 8-byte aligned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args {
    words: Vec<u64>,
    half: bool,
}

impl Args {
    pub(crate) fn new(pointers: &[Ptr]) -> Self {
        Self { words: pointers.iter().map(|p| p.0).collect(), half: false }
    }

    pub(crate) fn long(mut self, x: usize) -> Self {
        self.words.push(x as u64);
        self
    }

    pub(crate) fn ints(self, xs: &[usize]) -> Self {
        xs.iter().fold(self, |args, &x| args.four(x as u32))
    }

    pub(crate) fn float(self, x: f32) -> Self {
        self.four(x.to_bits())
    }

    fn four(mut self, bits: u32) -> Self {
        match self.words.last_mut().filter(|_| self.half) {
            Some(last) => *last |= u64::from(bits) << 32,
            None => self.words.push(u64::from(bits)),
        }
        self.half = !self.half;
        self
    }

    pub(crate) fn as_ptr(&self) -> *const u64 {
        self.words.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_as_in_c() {
        let args = Args::new(&[Ptr(1), Ptr::NULL]).long(5).ints(&[7, 8, 9]).float(1.0);
        let expected = [1, 0, 5, 7 | 8 << 32, 9 | u64::from(1f32.to_bits()) << 32];
        assert_eq!(args.words, expected);
        assert_eq!(Args::new(&[]).ints(&[3]).words, [3], "a trailing half is padded");
    }
}
