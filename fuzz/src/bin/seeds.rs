//! Writes the committed seeds: `cargo run -p fuzz --bin seeds`. Findings stay as they are.

use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = fuzz::corpus();
    for (target, _) in fuzz::TARGETS {
        fs::create_dir_all(corpus.join(target))?;
        for file in fs::read_dir(corpus.join(target))? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(file.path())?;
            }
        }
    }
    for seed in fuzz::seeds::all() {
        fs::write(corpus.join(seed.target).join(format!("seed-{}", seed.name)), seed.bytes)?;
    }
    Ok(())
}
