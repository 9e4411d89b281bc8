//! `muster media build`.

use crate::print::{self, Output};
use anyhow::{Context, Result, bail};
use image_builder::{Arch, BuildRequest, KernelSource, Manifest, Profile, Progress, Storage};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where programs for machines lie when `muster` runs from a build tree, seen from its folder.
const IN_TREE: &str = "../x86_64-unknown-linux-gnu/release";
/// Percent between two lines about the same step.
const PERCENT_STEP: usize = 20;

/// Arguments of `muster media build`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Media directory to write, whole or not at all
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Drivers and kernel: generic for any machine, cloud for virtual ones
    #[arg(long, default_value = "generic", value_name = "PROFILE")]
    profile: Profile,
    /// Processor architecture
    #[arg(long, default_value = "x86_64", value_name = "ARCH")]
    arch: Arch,
    /// A kernel image of your own; else Debian's signed one
    #[arg(long, value_name = "FILE", requires = "modules")]
    kernel: Option<PathBuf>,
    /// The modules of that kernel: a directory with lib/modules/VERSION
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// Firmware of your own: a directory laid out as /lib/firmware
    #[arg(long, value_name = "DIR")]
    firmware: Option<PathBuf>,
    /// Boot loaders of your own for network boot: a folder of files, such as those for arm64
    #[arg(long, value_name = "DIR")]
    loaders: Option<PathBuf>,
    /// Leave out Debian's boot loaders for network boot
    #[arg(long)]
    no_loaders: bool,
    /// Make the smallest medium: it takes longer to build and seconds longer to boot
    #[arg(long)]
    smallest: bool,
    /// The agent; else the one beside muster or in the build tree
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The installer; else the one beside muster or in the build tree
    #[arg(long, value_name = "FILE")]
    installer: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Builds, and prints the manifest.
pub(crate) fn run(args: Args) -> Result<()> {
    let kernel = match (args.kernel, args.modules) {
        (Some(kernel), Some(modules)) => KernelSource::Files { kernel, modules },
        _ => KernelSource::Debian,
    };
    let muster = std::env::current_exe().context("where this program lies is not known")?;
    let given_or_found = |given: Option<PathBuf>, what, file| match given {
        Some(given) => Ok(given),
        None => find(&muster, what, file),
    };
    let agent = given_or_found(args.agent, "agent", image_builder::AGENT_FILE)?;
    let installer = given_or_found(args.installer, "installer", image_builder::INSTALLER_FILE)?;
    let cache = image_builder::cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for downloaded packages")?;
    let request = BuildRequest {
        profile: args.profile,
        arch: args.arch,
        out: args.out,
        agent,
        installer,
        kernel,
        firmware: args.firmware,
        loaders: !args.no_loaders,
        own_loaders: args.loaders,
        storage: if args.smallest { Storage::Solid } else { Storage::default() },
        build_time: build_time()?,
        cache,
    };
    let mut teller = Teller { begun: Instant::now(), told: 0, broken: None };
    let manifest = image_builder::build(&request, &mut |progress| teller.tell(&progress))?;
    teller.finish()?;
    let value = serde_json::to_value(&manifest)?;
    args.output.show(&value, || Ok(describe(&manifest, &request.out)))
}

/// `SOURCE_DATE_EPOCH` where it is set, so that two builds can be compared, else now.
fn build_time() -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            text.parse().ok().with_context(|| format!("SOURCE_DATE_EPOCH={text} is not a number of seconds"))
        }
        Err(_) => {
            Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
        }
    }
}

/// A program for machines, by its file name.
fn find(muster: &Path, what: &str, file: &str) -> Result<PathBuf> {
    let folder = muster.parent().unwrap_or(Path::new("."));
    let places = [folder.join(file), folder.join(IN_TREE).join(file)];
    match places.iter().find(|place| place.is_file()) {
        Some(program) => Ok(program.clone()),
        None => bail!(
            "the {what} is neither at {} nor at {}: name it with --{what}, or run make media",
            places.first().map(|place| place.display().to_string()).unwrap_or_default(),
            places.last().map(|place| place.display().to_string()).unwrap_or_default()
        ),
    }
}

fn describe(manifest: &Manifest, out: &Path) -> String {
    let rows = manifest.paths().map(|(name, file)| vec![name, print::bytes(file.size), file.sha256.clone()]);
    let identity = &manifest.identity;
    let title =
        format!("{}: {} {} with kernel {}", out.display(), identity.profile, identity.arch, identity.kernel);
    format!("{title}\n{}", print::table(&["FILE", "SIZE", "SHA-256"], rows.collect(), "no files"))
}

/// Tells each step once, with the seconds since the start; long steps every few percent.
struct Teller {
    begun: Instant,
    /// Percent of the packing that was told.
    told: usize,
    broken: Option<anyhow::Error>,
}

impl Teller {
    fn tell(&mut self, progress: &Progress) {
        let Some(line) = self.line(progress) else { return };
        let line = format!("[{:6.1} s] {line}", self.begun.elapsed().as_secs_f32());
        if let Err(error) = print::note(&line) {
            self.broken.get_or_insert(error);
        }
    }

    fn line(&mut self, progress: &Progress) -> Option<String> {
        let Progress::Packing { done, total } = progress else { return Some(progress.to_string()) };
        let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(100);
        if percent < 100 && percent < self.told + PERCENT_STEP {
            return None;
        }
        self.told = percent;
        Some(format!("{progress} ({percent} %)"))
    }

    /// Reports a terminal that went away, after the work is done.
    fn finish(self) -> Result<()> {
        self.broken.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_steps_are_told_every_few_percent() {
        let mut teller = Teller { begun: Instant::now(), told: 0, broken: None };
        let told = (1..=670).filter_map(|done| teller.line(&Progress::Packing { done, total: 670 }));
        let told: Vec<String> = told.collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told.last().unwrap(), "packed 670 of 670 modules (100 %)");
        assert!(teller.line(&Progress::Initrd { bytes: 1 }).is_some());
    }

    #[test]
    fn programs_are_looked_for_beside_muster_first() {
        let tree = tempfile::tempdir().unwrap();
        let muster = tree.path().join("release/muster");
        let in_tree = tree.path().join("x86_64-unknown-linux-gnu/release");
        std::fs::create_dir_all(&in_tree).unwrap();
        std::fs::create_dir_all(muster.parent().unwrap()).unwrap();
        for (what, file) in [("agent", "muster-agent"), ("installer", "muster-installer")] {
            let find = || find(&muster, what, file);
            let told = find().unwrap_err().to_string();
            assert!(told.contains(&format!("name it with --{what}")), "{told}");
            std::fs::write(in_tree.join(file), "").unwrap();
            assert!(find().unwrap().ends_with(format!("x86_64-unknown-linux-gnu/release/{file}")));
            std::fs::write(muster.parent().unwrap().join(file), "").unwrap();
            assert!(find().unwrap().ends_with(format!("release/{file}")));
            assert!(!find().unwrap().to_string_lossy().contains("x86_64"));
        }
    }
}
