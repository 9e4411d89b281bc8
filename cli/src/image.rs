//! `muster image`: images of operating systems, and the import of those that are no OCI images.

use crate::object::{self, Collection};
use crate::print;
use crate::rest::{Call, Client, decode};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Subcommand, ValueEnum};
use protocol::install::{ImportPhase, ImportState};
use protocol::model::{Kind, UPLOAD};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

const IMAGES: Collection = Collection::of(Kind::Images);
/// How often an import is looked at while somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Progress is told in such pieces, in percent of a phase.
const TELL_EVERY: u8 = 10;
/// Bytes that are read of a file at a time.
const CHUNK: usize = 256 * 1_024;

/// Verbs of `muster image`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the images
    #[command(visible_alias = "ls")]
    List(object::List),
    /// Show one image, and how far its import has come
    Show(object::Show),
    /// Make an image from fields, or from a JSON or YAML file
    Create(object::Create),
    /// Make an image of another one, which stays as it is; its file is imported anew
    Clone(object::Copy),
    /// Change fields of an image
    Set(object::Set),
    /// Bring a disk image or a root tar to the server, from a file here or by URL, and wait until
    /// machines can install it. OCI images need no import
    Import(Import),
    /// Stop an import
    CancelImport(Cancel),
    /// Delete images
    Delete(object::Delete),
}

/// Arguments of `muster image import`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Name of the image; it is made when there is none and a file or URL is given
    image: String,
    /// A file here (raw, qcow2, tar; gz, xz and zst too), or the https:// URL that the server fetches.
    /// Without one, the URL that the image has already
    #[arg(value_name = "FILE|URL")]
    from: Option<From>,
    /// What it must be, for an image that is made; else what the file says of itself
    #[arg(long, value_enum, value_name = "FORMAT")]
    image_format: Option<Format>,
    /// sha256:HEX that the file must have, for an image that is made
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    /// Do not wait for the end of the import
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster image cancel-import`
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// Name of the image
    image: String,
    #[command(flatten)]
    call: Call,
}

/// Formats of files
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A disk, byte by byte
    Raw,
    /// A disk of QEMU's
    Qcow2,
    /// A tar of a root file system
    Tar,
}

impl Format {
    const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Tar => "tar",
        }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Url(String),
    File(PathBuf),
}

impl FromStr for From {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.to_owned()));
        }
        Ok(Self::File(text.into()))
    }
}

impl From {
    fn source(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::File(_) => UPLOAD,
        }
    }
}

/// Runs one verb.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::List(args) => object::run(IMAGES, object::Command::List(args)).await,
        Command::Show(args) => object::run(IMAGES, object::Command::Show(args)).await,
        Command::Create(args) => object::run(IMAGES, object::Command::Create(args)).await,
        Command::Clone(args) => object::run(IMAGES, object::Command::Clone(args)).await,
        Command::Set(args) => object::run(IMAGES, object::Command::Set(args)).await,
        Command::Delete(args) => object::run(IMAGES, object::Command::Delete(args)).await,
        Command::Import(args) => import(args).await,
        Command::CancelImport(args) => {
            let client = args.call.client()?;
            let answer = client.delete(&import_path(&args.image)).await?;
            args.call.show(&answer, || Ok(format!("the import of {} is cancelled", args.image)))
        }
    }
}

fn import_path(image: &str) -> String {
    format!("{}/import", IMAGES.path_of(image))
}

async fn import(args: Import) -> Result<()> {
    let client = args.call.client()?;
    prepare(&client, &args).await?;
    match &args.from {
        Some(From::File(path)) => upload(&args, path).await?,
        Some(From::Url(_)) | None => {
            drop(client.bytes(client.request(Method::POST, &import_path(&args.image))).await?)
        }
    }
    let answer =
        if args.no_wait { look(&client, &args.image).await?.0 } else { wait(&client, &args.image).await? };
    let (import, name) = (&answer["Import"], &args.image);
    args.call.show(&answer, || Ok(draw(name, &decode(import)?)))?;
    match decode::<ImportState>(import)? {
        ImportState { state: ImportPhase::Failed, .. } => bail!("image {name} was not imported"),
        _ => Ok(()),
    }
}

/// Makes the image where there is none, and holds one that is there against what was asked for.
async fn prepare(client: &Client, args: &Import) -> Result<()> {
    let found = client.get(&format!("{}?Name={}", IMAGES.path(), crate::rest::encode(&args.image))).await?;
    let found = found.as_array().and_then(|images| images.first());
    match (found, &args.from) {
        (Some(image), Some(from)) if image["Source"] != from.source() => bail!(
            "image {0} comes from {1}: run `muster image set {0} Source={2}` first, or take another name",
            args.image,
            image["Source"].as_str().unwrap_or_default(),
            from.source()
        ),
        (Some(_), _) if args.image_format.is_some() || args.digest.is_some() => bail!(
            "image {0} is there already: change its Format and Digest by `muster image set {0}`",
            args.image
        ),
        (Some(_), _) => Ok(()),
        (None, None) => bail!("there is no image {}: give a file or a URL to make it", args.image),
        (None, Some(from)) => {
            let mut image = Map::from_iter([
                ("Name".to_owned(), json!(args.image)),
                ("Source".to_owned(), json!(from.source())),
            ]);
            image.extend(args.image_format.map(|format| ("Format".to_owned(), json!(format.word()))));
            image.extend(args.digest.as_ref().map(|digest| ("Digest".to_owned(), json!(digest))));
            client.post(&IMAGES.path(), &Value::Object(image)).await.map(drop)
        }
    }
}

/// Sends a file, which may take long.
async fn upload(args: &Import, path: &Path) -> Result<()> {
    let told = || format!("{} cannot be read", path.display());
    let file = File::open(path).await.with_context(told)?;
    let length = file.metadata().await.with_context(told)?.len();
    if length == 0 {
        bail!("{} is empty", path.display());
    }
    let client = args.call.client()?.patient()?;
    print::note(&format!("uploading {}, {}", path.display(), print::bytes(length)))?;
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, CHUNK));
    let request = client
        .request(Method::POST, &import_path(&args.image))
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .body(body);
    client.bytes(request).await.map(drop)
}

/// The image, and how its import goes.
async fn look(client: &Client, image: &str) -> Result<(Value, ImportState)> {
    let answer = client.get(&IMAGES.path_of(image)).await?;
    let import = answer.get("Import").ok_or_else(|| anyhow!("the server tells nothing of the import"))?;
    let state = decode(import)?;
    Ok((answer, state))
}

/// Waits until an import has ended, and tells how it goes.
async fn wait(client: &Client, image: &str) -> Result<Value> {
    let mut told = (ImportPhase::None, 0);
    loop {
        let (answer, state) = look(client, image).await?;
        if !state.state.is_active() {
            return Ok(answer);
        }
        let step = state.percent - state.percent % TELL_EVERY;
        if told != (state.state, step) {
            print::note(&format!(
                "{}: {}, {} %",
                state.state,
                print::one_line(&state.message),
                state.percent
            ))?;
            told = (state.state, step);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn draw(image: &str, state: &ImportState) -> String {
    match state.state {
        ImportPhase::Done => format!(
            "image {image} can be installed: {} to download, {} unpacked, {}",
            print::bytes(state.size),
            print::bytes(state.unpacked_size),
            state.digest
        ),
        ImportPhase::Failed => format!("image {image}: {}", print::one_line(&state.message)),
        ImportPhase::None | ImportPhase::Waiting | ImportPhase::Downloading | ImportPhase::Converting => {
            format!("image {image} is imported: {}, {} %", state.state, state.percent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_told_from_a_file() {
        let from = |text: &str| text.parse::<From>().unwrap();
        assert_eq!(from("https://host/a.raw.xz"), From::Url("https://host/a.raw.xz".to_owned()));
        assert_eq!(from("./a.raw.xz"), From::File("./a.raw.xz".into()));
        assert_eq!((from("http://host/a").source(), from("a.tar").source()), ("http://host/a", "upload"));
    }

    #[test]
    fn end_of_an_import_is_told_in_a_line() {
        let done = ImportState {
            state: ImportPhase::Done,
            size: 1 << 20,
            unpacked_size: 1 << 30,
            digest: "sha256:aa".to_owned(),
            ..ImportState::default()
        };
        let told = draw("debian", &done);
        assert!(told.starts_with("image debian can be installed: ") && told.ends_with("sha256:aa"), "{told}");
        let failed = ImportState {
            state: ImportPhase::Failed,
            message: "the disk\u{1b}[2J is full".to_owned(),
            ..ImportState::default()
        };
        assert!(!draw("debian", &failed).contains('\u{1b}'));
    }
}
