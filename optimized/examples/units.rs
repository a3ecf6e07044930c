//! Writes the unit of every kernel that GPUs compile, `<folder>/cuda/<symbol>.cu` and `<folder>/hip/<symbol>.hip`, so
//! that they can be compiled and inspected without a device: `cargo run -p optimized --example units -- target/units`.

use std::path::PathBuf;
use std::{env, fs, io};

use optimized::{Backend, units};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: units FOLDER"))?;
    for (backend, name, extension) in [(Backend::Cuda, "cuda", "cu"), (Backend::Hip, "hip", "hip")] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        for (symbol, text) in units(backend) {
            fs::write(folder.join(symbol).with_extension(extension), text)?;
        }
    }
    Ok(())
}
