//! The TFTP door: hands what `app/boot` answers to the server of crate `pxe`.

use crate::app::{AppError, AppErrorKind, BootFile, Door, Download, Requester, SharedApp};
use crate::report::{chain, shown_path};
use pxe::tftp::{Answer, ErrorCode, File, Limits, Reply, Request, Server};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Target of the log's lines about boot files: which machine got how far.
const LOG: &str = "muster::boot";

/// A bound door that serves nobody yet.
#[derive(Debug)]
pub(crate) struct Tftp {
    server: Server,
}

impl Tftp {
    /// Binds the address; port 0 takes any free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { server: Server::bind(address, Limits::default())? })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until `stopping`. Those who find the files work here, those who send them in threads of
    /// crate `pxe`.
    pub(crate) async fn run(self, app: SharedApp, stopping: CancellationToken) {
        let finders = Handle::current();
        let open = move |request, reply| {
            finders.spawn(find(Arc::clone(&app), request, reply));
        };
        let running = match self.server.run(open) {
            Ok(running) => running,
            Err(error) => return tracing::error!(%error, "TFTP is not served"),
        };
        stopping.cancelled().await;
        if let Err(error) = tokio::task::spawn_blocking(move || running.stop()).await {
            tracing::error!(%error, "TFTP did not stop");
        }
    }
}

/// Answers one request.
async fn find(app: SharedApp, request: Request, reply: Reply) {
    let Request { path, client, reached } = request;
    let requester = Requester { door: Door::Tftp, address: client.ip(), reached: Some(reached) };
    let found = app.boot_file(requester, &path).await;
    let known = found.is_ok();
    tracing::info!(target: LOG, path = shown_path(&path), source = %client, known, "boot file by TFTP");
    reply.send(answer(found));
}

fn answer(found: Result<BootFile, AppError>) -> Answer {
    match found {
        Ok(BootFile::Text(text)) => Answer::File(Box::new(text.into_bytes())),
        Ok(BootFile::Tree(download)) => Answer::File(download),
        Ok(BootFile::Elsewhere(url)) => Answer::Refuse(ErrorCode::NotDefined, format!("fetch it from {url}")),
        Err(error) => {
            if error.kind == AppErrorKind::Internal {
                tracing::error!(target: LOG, error = chain(&error), "a boot file cannot be answered");
            }
            Answer::Refuse(code(error.kind), error.to_string())
        }
    }
}

/// The two things that TFTP has a number for; the text says the rest.
fn code(kind: AppErrorKind) -> ErrorCode {
    if kind == AppErrorKind::NotFound {
        ErrorCode::FileNotFound
    } else if kind == AppErrorKind::Forbidden {
        ErrorCode::AccessViolation
    } else {
        ErrorCode::NotDefined
    }
}

impl File for Download {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        Self::read_at(self, position, buffer)
    }
}
