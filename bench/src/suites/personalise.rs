//! What it costs to hand an image to one client, beyond handing out a file that is the same for
//! all; and what embedding a configuration costs elsewhere.
//!
//! Two parts. Instructions: our download path without sockets and TLS, under callgrind, as the
//! difference of many requests to few and of a patched image to a plain one. Speed: whole
//! downloads over HTTPS on the loopback, client and server counted together, since the kernel
//! bills the work of loopback to either.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use harness::muster::Server;
use harness::operator::client;
use iso::manifest::Manifest;
use iso::region::CONFIG_REGION;
use reqwest::blocking::Client;

use super::{begin, name_inputs};
use crate::contest::{Driver, contest};
use crate::judge::value_at_most;
use crate::measure::{Call, cpu_of_family, has_program, own_cpu, written_by};
use crate::peers::coreos_installer::{CoreosInstaller, Into};
use crate::peers::nginx::Nginx;
use crate::record::{Metric, Sample, Suite};
use crate::stage::{Stage, Subject, number, read, write};

const PERSONALISED: &str = "muster, personalised";
const STATIC: &str = "muster, static file";
/// The difference of the two.
const ALONE: &str = "muster, personalising alone";
const NGINX: &str = "nginx, static file";
/// The same image under a name that nobody personalises.
const PLAIN_FILE: &str = "plain.iso";
const COUNTED_ROUNDS: usize = 3;
/// Requests of the shorter and the longer run: the difference has no start of the server in it.
const FEW: u32 = 50;
const MANY: u32 = 250;
/// Downloads of a sample.
const DOWNLOADS: u32 = 8;
const BUFFER: usize = 256 * 1_024;
const MEGABYTE: f64 = 1e6;

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let subject = Subject::open(stage)?;
    let folder = stage.folder("personalise")?;
    let mut suite = begin("personalise")?;
    name_inputs(&mut suite, &subject, None)?;
    let media = with_plain_image(&subject, &folder)?;

    let counted: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Counted { stage, media: &media, personalised: true, folder: PathBuf::new() }),
        Box::new(Counted { stage, media: &media, personalised: false, folder: PathBuf::new() }),
        Box::new(CoreosInstaller::new(stage, &subject, Into::Copy)),
        Box::new(CoreosInstaller::new(stage, &subject, Into::Place)),
    ];
    let rounds = stage.rounds_up_to(COUNTED_ROUNDS);
    contest(stage, &mut suite, rounds, &[Metric::Instructions, Metric::Written], counted)?;
    subtract(&mut suite);

    let server = Server::builder("bench-personalise-server").media(&media).start()?;
    let downloads: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Download::ours(stage, &server, &subject, true)),
        Box::new(Download::ours(stage, &server, &subject, false)),
        Box::new(Download::nginx(stage, &subject)),
    ];
    let metrics = [Metric::Rate, Metric::CpuPerMegabyte, Metric::Written];
    contest(stage, &mut suite, stage.rounds, &metrics, downloads)?;
    judge(&mut suite);
    Ok(suite)
}

/// Adds what personalising alone costs, round by round.
fn subtract(suite: &mut Suite) {
    let of = |name| suite.samples(name, Metric::Instructions).unwrap_or_default();
    let differences: Vec<f64> =
        of(PERSONALISED).iter().zip(of(STATIC)).map(|(one, other)| one - other).collect();
    for difference in differences {
        suite.add(ALONE, Metric::Instructions, difference);
    }
}

fn judge(suite: &mut Suite) {
    for (of, to, metric) in [
        ("coreos-installer, in place", ALONE, Metric::Instructions),
        (PERSONALISED, STATIC, Metric::CpuPerMegabyte),
        (PERSONALISED, NGINX, Metric::CpuPerMegabyte),
        (PERSONALISED, STATIC, Metric::Rate),
        (PERSONALISED, NGINX, Metric::Rate),
    ] {
        suite.compare(of, to, metric);
    }
    let targets = vec![
        value_at_most(
            suite,
            "personalised download <= 100,000 instructions over a static file",
            (ALONE, Metric::Instructions),
            1e5,
            "the configuration's archive of 65,536 bytes is made for each download and laid over the image",
        ),
        value_at_most(
            suite,
            "bytes written for a personalised download: 0",
            (PERSONALISED, Metric::Written),
            0.0,
            "the server's database was written meanwhile",
        ),
    ];
    suite.targets.extend(targets);
}

/// The media under test with one file more: the image itself, which the manifest lists under a
/// name that is served as it is.
fn with_plain_image(subject: &Subject, folder: &Path) -> Result<PathBuf> {
    let media = folder.join("media");
    fs::create_dir_all(&media).context("cannot make a folder")?;
    let mut manifest: Manifest = subject.manifest.clone();
    let image = manifest.files.get(image_builder::ISO_FILE).context("the media have no image")?.clone();
    manifest.files.insert(PLAIN_FILE.to_owned(), image);
    for name in manifest.files.keys() {
        let from = if name == PLAIN_FILE { image_builder::ISO_FILE } else { name };
        let link = media.join(name);
        std::os::unix::fs::symlink(subject.path(from), &link)
            .with_context(|| format!("cannot make {}", link.display()))?;
    }
    write(&media.join(image_builder::MANIFEST_FILE), manifest.to_json()?)?;
    Ok(media)
}

/// Our download path under callgrind.
struct Counted<'a> {
    stage: &'a Stage,
    media: &'a Path,
    personalised: bool,
    folder: PathBuf,
}

impl Counted<'_> {
    fn piece(&self, args: &[&str], name: &str) -> Result<f64> {
        let this = std::env::current_exe().context("where this program lies is not known")?;
        let (piece, rest) = args.split_first().context("name a piece")?;
        let call = Call::new(this).args(["subject", *piece]).arg(self.media).args(rest.iter().copied());
        call.instructions(&self.folder, name)
    }

    fn requests(&self, count: u32) -> Result<f64> {
        let file = if self.personalised { image_builder::ISO_FILE } else { PLAIN_FILE };
        self.piece(&["requests", file, &count.to_string()], "requests")
    }
}

impl Driver for Counted<'_> {
    fn name(&self) -> &str {
        if self.personalised { PERSONALISED } else { STATIC }
    }

    fn available(&self) -> Result<(), String> {
        match has_program("valgrind") {
            true => Ok(()),
            false => Err("valgrind is missing: run `make bench`, which installs it".to_owned()),
        }
    }

    fn setup(&mut self) -> Result<()> {
        let name = if self.personalised { "counted-personalised" } else { "counted-static" };
        self.folder = self.stage.folder(name)?;
        Ok(())
    }

    fn run(&mut self) -> Result<Sample> {
        let (few, many) = (self.requests(FEW)?, self.requests(MANY)?);
        let request = (many - few) / f64::from(MANY - FEW);
        let patched: &[&str] = if self.personalised { &["stream", "--patched"] } else { &["stream"] };
        let stream = self.piece(patched, "stream")?;
        Ok(Sample::from([(Metric::Instructions, request + stream)]))
    }
}

/// Whole downloads over HTTPS.
struct Download<'a> {
    stage: &'a Stage,
    subject: &'a Subject,
    name: &'static str,
    /// Ours, when it is not nginx.
    server: Option<&'a Server>,
    nginx: Option<Nginx>,
    url: String,
    http: Option<Client>,
    pid: u32,
}

impl<'a> Download<'a> {
    fn ours(stage: &'a Stage, server: &'a Server, subject: &'a Subject, personalised: bool) -> Self {
        let (name, file) =
            if personalised { (PERSONALISED, image_builder::ISO_FILE) } else { (STATIC, PLAIN_FILE) };
        let url = format!("{}/media/{file}", server.url());
        Self { stage, subject, name, server: Some(server), nginx: None, url, http: None, pid: 0 }
    }

    fn nginx(stage: &'a Stage, subject: &'a Subject) -> Self {
        let url = String::new();
        Self { stage, subject, name: NGINX, server: None, nginx: None, url, http: None, pid: 0 }
    }

    /// Downloads once and throws the bytes away.
    fn fetch(&self, buffer: &mut [u8]) -> Result<u64> {
        let http = self.http.as_ref().context("there is no client")?;
        let mut answer = http.get(&self.url).send()?.error_for_status()?;
        let mut length = 0;
        loop {
            match answer.read(buffer).context("the download broke off")? {
                0 => return Ok(length),
                count => length += count as u64,
            }
        }
    }

    /// Downloads once and compares every byte with the base image.
    fn check(&self) -> Result<()> {
        let http = self.http.as_ref().context("there is no client")?;
        let image = http.get(&self.url).send()?.error_for_status()?.bytes()?;
        let base = read(&self.subject.path(image_builder::ISO_FILE))?;
        ensure!(image.len() == base.len(), "{}: {} bytes", self.url, image.len());
        let region = self.subject.manifest.region(CONFIG_REGION).context("the image has no config region")?;
        let inside =
            |at: usize| at as u64 >= region.offset && region.end().is_some_and(|end| (at as u64) < end);
        let differing: Vec<usize> = image
            .iter()
            .zip(&base)
            .enumerate()
            .filter(|(_, (one, other))| one != other)
            .map(|(at, _)| at)
            .collect();
        ensure!(differing.iter().all(|&at| inside(at)), "{} differs outside the config region", self.url);
        ensure!(differing.is_empty() == (self.name != PERSONALISED), "{} bytes differ", differing.len());
        Ok(())
    }
}

impl Driver for Download<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn available(&self) -> Result<(), String> {
        if self.server.is_some() { Ok(()) } else { Nginx::available() }
    }

    fn setup(&mut self) -> Result<()> {
        let ca = match self.server {
            Some(server) => {
                self.pid = server.pid().context("the server does not run")?;
                server.ca_pem()?
            }
            None => {
                let folder = self.stage.folder("nginx")?;
                let image = self.subject.path(image_builder::ISO_FILE);
                let nginx = Nginx::serve(self.stage, &image, &folder)?;
                (self.pid, self.url) = (nginx.pid(), nginx.url());
                self.nginx.insert(nginx).certificate.clone()
            }
        };
        self.http = Some(client(&ca)?.http1_only().build().context("cannot make an HTTP client")?);
        self.check()
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(self.nginx.as_ref().map(|nginx| nginx.version.clone()))
    }

    fn run(&mut self) -> Result<Sample> {
        let expected = self.subject.size(image_builder::ISO_FILE)?;
        let mut buffer = vec![0; BUFFER];
        let written = written_by(self.pid)?;
        let cpu = cpu_of_family(self.pid)? + own_cpu()?;
        let begun = Instant::now();
        for _ in 0..DOWNLOADS {
            let length = self.fetch(&mut buffer)?;
            ensure!(length == expected, "{}: {length} bytes", self.url);
        }
        let wall = begun.elapsed().as_secs_f64();
        let cpu = cpu_of_family(self.pid)? + own_cpu()? - cpu;
        let megabytes = number(expected) * f64::from(DOWNLOADS) / MEGABYTE;
        Ok(Sample::from([
            (Metric::Rate, megabytes / wall),
            (Metric::CpuPerMegabyte, cpu * 1e3 / megabytes),
            (Metric::Written, written_by(self.pid)? - written),
        ]))
    }
}
