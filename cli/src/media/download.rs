//! `muster media download`: a file of the server's media directory, complete or not at all.

use crate::print;
use crate::rest::{Client, Connection, encode};
use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Percent between two lines.
const PERCENT_STEP: u64 = 20;

/// Arguments of `muster media download`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// muster.iso, overlay.cpio, vmlinuz, initrd, muster-agent, manifest.json and others of the media directory
    #[arg(value_parser = file_name)]
    file: String,
    /// Where to write it; else under its own name here
    #[arg(short = 'o', long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// A bare name: media directories are flat.
fn file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text.starts_with('.') {
        return Err("name a file of the media directory, such as muster.iso".to_owned());
    }
    Ok(text.to_owned())
}

/// Downloads. Media hold no secret, so no login is needed.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = Client::anonymous(&args.connection)?;
    let path = args.output.unwrap_or_else(|| PathBuf::from(&args.file));
    let answer = client.send(client.request(Method::GET, &format!("/media/{}", encode(&args.file)))).await?;
    let begun = Instant::now();
    let length = save(answer, &path, &mut |done, total| {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        print::note(&format!(
            "[{:6.1} s] {} of {} ({percent} %)",
            begun.elapsed().as_secs_f32(),
            print::bytes(done),
            print::bytes(total)
        ))
    })
    .await?;
    print::note(&format!("wrote {}, {}", path.display(), print::bytes(length)))
}

/// Streams into a file beside the target, which takes its name once it is whole and on disk.
async fn save(
    mut answer: Response,
    path: &Path,
    tell: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<u64> {
    let told = || format!("{} cannot be written", path.display());
    let total = answer.content_length().context("the server does not say how long the file is")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Others may read it as far as the umask lets them: media hold no secret.
    let open =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o666)).tempfile_in(folder);
    let mut file = open.with_context(told)?;
    let (mut done, mut next) = (0u64, PERCENT_STEP);
    while let Some(chunk) =
        answer.chunk().await.map_err(reqwest::Error::without_url).context("the download broke off")?
    {
        file.write_all(&chunk).with_context(told)?;
        done = done.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if done.saturating_mul(100) >= next.saturating_mul(total) {
            tell(done, total)?;
            next = done.saturating_mul(100).checked_div(total).unwrap_or(100) + PERCENT_STEP;
        }
    }
    if done != total {
        bail!("the download broke off after {done} of {total} bytes; nothing was written");
    }
    file.as_file().sync_all().with_context(told)?;
    file.persist(path).with_context(told)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_names_are_asked_for() {
        assert!(file_name("muster.iso").is_ok());
        for name in ["", "../ca.pem", "a/b", ".hidden"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }
}
