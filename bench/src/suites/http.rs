//! Boot files over plain HTTP beside nginx, which hands files to the kernel as fast as it goes
//! (`sendfile`). One file of 50 MB to 1, 8 and 64 clients, and a small one as often as possible.
//!
//! Server and clients share the computer and are counted together, since the kernel bills the
//! work of loopback to either.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use harness::muster::Server;

use super::begin;
use crate::computer::{Others, Watch};
use crate::contest::{Driver, contest};
use crate::downloads::{Asked, Crowd, download};
use crate::judge::{ratio_at_least, ratio_at_most};
use crate::measure::{cpu_of_family, own_cpu};
use crate::peers::nginx::Nginx;
use crate::record::{LoadOf, Metric, Sample, Suite};
use crate::stage::{Stage, number, short, write};

const MEGABYTE: f64 = 1e6;
/// The large file: a kernel with its ramdisk.
const LARGE: &str = "/large.bin";
const LARGE_LENGTH: usize = 50_000_000;
/// The small one: a loader's menu.
const SMALL: &str = "/small.bin";
const SMALL_LENGTH: usize = 1_024;
/// A file that is rendered for whoever asks, and exists on every server.
const RENDERED: &str = "/default.ipxe";

/// Crowds that fetch the large file: what they are called, how many, how often each. One client alone asks
/// so often because its speed hangs on where the system puts its two threads, which it changes now and then.
const CROWDS: [(&str, Crowd); 3] = [
    ("1 client", Crowd { clients: 1, requests: 72 }),
    ("8 clients", Crowd { clients: 8, requests: 6 }),
    ("64 clients", Crowd { clients: 64, requests: 1 }),
];
/// And the small ones.
const MANY: Crowd = Crowd { clients: 64, requests: 100 };

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let mut suite = begin("http")?;
    let server = Server::builder("bench-http-server").start()?;
    let files = Files::new(&server.data_dir().join("boot"))?;
    suite
        .inputs
        .insert("file".to_owned(), format!("{LARGE_LENGTH} bytes ({})", short(&sha256(&files.large))));
    let (nginx, others) = (OnceCell::new(), RefCell::default());
    let room = Room { stage, server: &server, files: &files, nginx, others };

    let mut drivers: Vec<Box<dyn Driver + '_>> = Vec::new();
    for (words, crowd) in CROWDS {
        let work = |who| Work { who, path: LARGE, contents: Some(&files.large), crowd };
        drivers.push(Box::new(Downloads::new(&room, format!("muster, {words}"), work(Who::Muster))));
        drivers.push(Box::new(Downloads::new(&room, format!("nginx, {words}"), work(Who::Nginx))));
    }
    contest(stage, &mut suite, stage.rounds, &[Metric::Rate, Metric::CpuPerMegabyte], drivers)?;

    let small = |who| Work { who, path: SMALL, contents: Some(&files.small), crowd: MANY };
    let rendered = Work { who: Who::Muster, path: RENDERED, contents: None, crowd: MANY };
    let drivers: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Downloads::new(&room, "muster, small file".to_owned(), small(Who::Muster))),
        Box::new(Downloads::new(&room, "nginx, small file".to_owned(), small(Who::Nginx))),
        Box::new(Downloads::new(&room, "muster, rendered file".to_owned(), rendered)),
    ];
    contest(stage, &mut suite, stage.rounds, &[Metric::RequestRate, Metric::CpuPerRequest], drivers)?;
    (suite.load, suite.load_of) = (room.others.borrow().share(), LoadOf::Others);
    judge(&mut suite);
    Ok(suite)
}

fn judge(suite: &mut Suite) {
    for (words, _) in CROWDS {
        let (ours, theirs) = (format!("muster, {words}"), format!("nginx, {words}"));
        for metric in [Metric::Rate, Metric::CpuPerMegabyte] {
            suite.compare(&ours, &theirs, metric);
        }
        let because = "packets are as full as nginx's, so it is work around them: hyper's and the runtime's";
        let rate = format!("{words}: >= 0.95x nginx's MB/s");
        let rate = ratio_at_least(suite, &rate, (&ours, &theirs, Metric::Rate), 0.95, because);
        let cpu = format!("{words}: <= 1.05x its CPU for a megabyte");
        let cpu = ratio_at_most(suite, &cpu, (&ours, &theirs, Metric::CpuPerMegabyte), 1.05, because);
        suite.targets.extend([rate, cpu]);
    }
    for ours in ["muster, small file", "muster, rendered file"] {
        suite.compare(ours, "nginx, small file", Metric::RequestRate);
    }
}

/// What both sides serve.
struct Files {
    folder: PathBuf,
    large: Vec<u8>,
    small: Vec<u8>,
}

impl Files {
    fn new(folder: &Path) -> Result<Self> {
        let (large, small) = (noise(LARGE_LENGTH), noise(SMALL_LENGTH));
        for (path, contents) in [(LARGE, &large), (SMALL, &small)] {
            write(&folder.join(path.trim_start_matches('/')), contents)?;
        }
        Ok(Self { folder: folder.to_path_buf(), large, small })
    }
}

/// Bytes without a pattern, the same each time (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x6d75_7374_6572_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What all contenders share.
struct Room<'a> {
    stage: &'a Stage,
    server: &'a Server,
    files: &'a Files,
    /// Started when first needed.
    nginx: OnceCell<Nginx>,
    others: RefCell<Others>,
}

impl Room<'_> {
    fn nginx(&self) -> Result<&Nginx> {
        if let Some(nginx) = self.nginx.get() {
            return Ok(nginx);
        }
        let nginx = Nginx::serve_plain(self.stage, &self.files.folder, &self.stage.folder("http-nginx")?)?;
        Ok(self.nginx.get_or_init(|| nginx))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Muster,
    Nginx,
}

#[derive(Debug, Clone, Copy)]
struct Work<'a> {
    who: Who,
    path: &'a str,
    contents: Option<&'a [u8]>,
    crowd: Crowd,
}

/// A crowd at one of the two.
struct Downloads<'a> {
    room: &'a Room<'a>,
    name: String,
    work: Work<'a>,
    /// Where, and which process serves.
    server: Option<(SocketAddr, u32)>,
}

impl<'a> Downloads<'a> {
    fn new(room: &'a Room<'a>, name: String, work: Work<'a>) -> Self {
        Self { room, name, work, server: None }
    }
}

impl Driver for Downloads<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn available(&self) -> Result<(), String> {
        match self.work.who {
            Who::Muster => Ok(()),
            Who::Nginx => Nginx::available(),
        }
    }

    fn setup(&mut self) -> Result<()> {
        self.server = Some(match self.work.who {
            Who::Muster => {
                let server = self.room.server;
                let url = server.boot_url()?;
                let address = url.trim_start_matches("http://").trim_end_matches('/');
                let address = address.parse().with_context(|| format!("{url} names no address"))?;
                (address, server.pid().context("the server does not run")?)
            }
            Who::Nginx => {
                let nginx = self.room.nginx()?;
                (nginx.address, nginx.pid())
            }
        });
        Ok(())
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(match self.work.who {
            Who::Muster => None,
            Who::Nginx => Some(self.room.nginx()?.version.clone()),
        })
    }

    fn run(&mut self) -> Result<Sample> {
        let (address, pid) = self.server.context("the server was not set up")?;
        let Work { path, contents, crowd, .. } = self.work;
        let meter = || Ok((cpu_of_family(pid)? + own_cpu()?, Watch::start()?));
        let got = download(Asked { address, path, contents }, crowd, meter)?;
        let seconds = got.took.as_secs_f64();
        let ((before, watch), (after, _)) = got.meter;
        let cpu = after - before;
        self.room.others.borrow_mut().add(&watch, cpu)?;
        let megabytes = number(got.bytes) / MEGABYTE;
        let requests = number(u64::try_from(crowd.clients * crowd.requests)?);
        Ok(Sample::from([
            (Metric::Rate, megabytes / seconds),
            (Metric::CpuPerMegabyte, cpu * 1e3 / megabytes),
            (Metric::RequestRate, requests / seconds),
            (Metric::CpuPerRequest, cpu * 1e3 / requests),
        ]))
    }
}
