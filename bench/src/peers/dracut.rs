//! dracut 059, as on any Debian with systemd: alone, and with what it needs to use a network.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::contest::Driver;
use crate::modules::Frozen;
use crate::peers::hook_line;
use crate::record::{Metric, Sample};
use crate::room::{Plan, Room};
use crate::stage::{Stage, number, write};

const IMAGE: &str = "/bench/image";
const HOOK_FILE: &str = "/bench/hook.sh";
/// The first of its hooks, and a name that sorts before all others there.
const HOOK_PLACE: &str = "/usr/lib/dracut/hooks/cmdline/00-bench.sh";
/// Without these it can do less than our agent does.
const NETWORK_MODULES: &str = "network-legacy url-lib";

const ALONE: Plan =
    Plan { name: "dracut", packages: "dracut,systemd,systemd-sysv,udev,zstd,kmod,binutils,procps" };
const NETWORK: Plan = Plan {
    name: "dracut-network",
    packages: "dracut,dracut-network,systemd,systemd-sysv,udev,zstd,kmod,binutils,procps,curl,ca-certificates,iputils-arping,iputils-ping,isc-dhcp-client,iproute2",
};

/// Builds a ramdisk with dracut.
#[derive(Debug)]
pub(crate) struct Dracut<'a> {
    stage: &'a Stage,
    frozen: &'a Frozen,
    plan: Plan,
    room: Option<Room>,
    folder: PathBuf,
}

impl<'a> Dracut<'a> {
    /// Without a network.
    pub(crate) fn alone(stage: &'a Stage, frozen: &'a Frozen) -> Self {
        Self { stage, frozen, plan: ALONE, room: None, folder: PathBuf::new() }
    }

    /// With DHCP and HTTPS.
    pub(crate) fn with_network(stage: &'a Stage, frozen: &'a Frozen) -> Self {
        Self { plan: NETWORK, ..Self::alone(stage, frozen) }
    }

    /// The image that the last run made.
    pub(crate) fn image(&self) -> Result<PathBuf> {
        Ok(self.room()?.file(IMAGE))
    }

    fn room(&self) -> Result<&Room> {
        self.room.as_ref().context("the room is not open")
    }
}

impl Driver for Dracut<'_> {
    fn name(&self) -> &str {
        self.plan.name
    }

    fn available(&self) -> Result<(), String> {
        self.plan.available()
    }

    fn setup(&mut self) -> Result<()> {
        self.folder = self.stage.folder(self.plan.name)?;
        let room = self.plan.open(self.stage)?;
        self.frozen.lay_out(&room.file("/"))?;
        room.empty("/bench")?;
        write(&room.file(HOOK_FILE), hook_line())?;
        room.call("depmod").arg(&self.frozen.release).measured(&self.folder, "depmod")?;
        self.room = Some(room);
        Ok(())
    }

    fn version(&self) -> Result<Option<String>> {
        self.room()?.version("dracut-core", &self.folder).map(Some)
    }

    fn run(&mut self) -> Result<Sample> {
        let room = self.room()?;
        let mut call = room.call("dracut").args(["--force", "--no-hostonly", "--zstd"]);
        call = call.args(["--include", HOOK_FILE, HOOK_PLACE]);
        call = call.arg("--add-drivers").arg(self.frozen.names().join(" "));
        if self.plan.name == NETWORK.name {
            call = call.args(["--add", NETWORK_MODULES]);
        }
        let mut sample = call.args([IMAGE, &self.frozen.release]).measured(&self.folder, "dracut")?;
        self.frozen.check(&room.call("lsinitrd").arg(IMAGE).output(&self.folder, "lsinitrd")?)?;
        let image = room.file(IMAGE);
        let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
        sample.insert(Metric::Initrd, number(size));
        Ok(sample)
    }
}
