//! What a machine's firmware should load, asked by DHCP before it has an address.
//!
//! Whether a machine is known, and what it boots, is asked again by each file that its loader fetches:
//! here only the loader is chosen. So a store that cannot be read keeps nobody from a loader.

use super::super::App;
use super::super::error::AppError;
use super::image::{IGNORED, path_for};
use super::latest_first;
use crate::report::chain;
use engine::bootenv;
use engine::content::Content;
use engine::identity::hints;
use engine::machine::Machine;
use engine::render::{Addresses, Nowhere, Scene};
use protocol::ids::MacAddr;
use protocol::inventory::{FirmwareMode, Inventory};
use protocol::model::BootEnv;
use pxe::question::{Answer, Client, Cpu, Firmware};
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// The script for everybody: it goes on to the files of known machines by itself.
const IPXE_SCRIPT: &str = "default.ipxe";

/// Who asks, as far as it can be found out.
enum Who {
    Known(Box<Machine>),
    Stranger,
    /// The store cannot be read.
    Unclear,
}

impl App {
    /// What this client should load. `Silence` sends its firmware on to the next boot device.
    ///
    /// # Errors
    /// When the disk's thread failed.
    pub(crate) async fn what_boots(self: &Arc<Self>, client: &Client) -> Result<Answer, AppError> {
        let who = match self.machine_of(client).await {
            Ok(Some(machine)) => Who::Known(Box::new(machine)),
            Ok(None) => Who::Stranger,
            Err(error) => {
                tracing::error!(error = %chain(&error), "a client is answered without knowing who it is");
                Who::Unclear
            }
        };
        let (app, client) = (Arc::clone(self), client.clone());
        let answer = tokio::task::spawn_blocking(move || app.answer(&client, &who));
        answer.await.map_err(AppError::internal)
    }

    /// The known machine that a client is: by its hardware address, else by its SMBIOS UUID.
    async fn machine_of(&self, client: &Client) -> Result<Option<Machine>, AppError> {
        let mut machines = self.store.machines_of_mac(&mac_text(client.mac)).await?;
        if let (true, Some(uuid)) = (machines.is_empty(), client.uuid) {
            let system_uuid = Uuid::from_bytes(uuid).to_string();
            machines =
                self.store.lookalikes(&hints(&Inventory { system_uuid, ..Inventory::default() })).await?;
        }
        latest_first(&mut machines);
        Ok(machines.into_iter().next())
    }

    /// Asks the disk for loaders.
    fn answer(self: &Arc<Self>, client: &Client, who: &Who) -> Answer {
        let content = self.content();
        let chosen = match who {
            Who::Known(machine) => machine.fields.boot_env.as_str(),
            Who::Stranger | Who::Unclear => content.pref("unknownBootEnv"),
        };
        if matches!(who, Who::Stranger) && chosen == bootenv::IGNORE {
            return Answer::Silence(IGNORED.to_owned());
        }
        let addresses = self.addresses_at(IpAddr::V4(client.reached));
        match client.firmware {
            Firmware::Bios | Firmware::Uefi(_) => {
                self.loader(client.firmware, who, content.bootenvs.get(chosen).map(|env| &**env))
            }
            Firmware::Ipxe => match self.has_door() {
                true => {
                    Answer::Load(format!("{}/{}", addresses.loading(), self.script(client, who, &content)))
                }
                false => Answer::Silence(NO_DOOR.to_owned()),
            },
            Firmware::UefiHttp(cpu) => self.image(client, cpu, who, &addresses),
        }
    }

    /// The script that iPXE begins with: a known machine's own where it has one, else the one that
    /// looks for that and is for everybody.
    fn script(self: &Arc<Self>, client: &Client, who: &Who, content: &Arc<Content>) -> String {
        let Who::Known(machine) = who else { return IPXE_SCRIPT.to_owned() };
        let own = format!("{}.ipxe", mac_text(client.mac));
        let scene = Scene {
            machine: Some(Arc::new(Machine::clone(machine))),
            content: Arc::clone(content),
            addresses: self.addresses(None),
            outside: Arc::new(Nowhere),
        };
        if scene.has_file(&own) { own } else { IPXE_SCRIPT.to_owned() }
    }

    /// What PXE firmware loads: what the bootenv says, else what there is.
    fn loader(&self, firmware: Firmware, who: &Who, env: Option<&BootEnv>) -> Answer {
        if !self.boot.settings.tftp_open {
            return Answer::Silence(NO_TFTP.to_owned());
        }
        let own = env.zip(key(firmware)).and_then(|(env, key)| env.loaders.get(key));
        if let Some(own) = own.filter(|own| !own.is_empty()) {
            return Answer::Load(own.trim_start_matches('/').to_owned());
        }
        let signed = self.boot.settings.leases || self.starts_signed_only(who);
        match self.boot.settings.loaders.first_of(firmware, signed) {
            Ok(first) => Answer::Load(first.to_owned()),
            Err(missing) => Answer::Silence(missing),
        }
    }

    /// What a known machine's firmware would load first when it boots from the network. Asks the disk.
    ///
    /// # Errors
    /// Why nothing.
    pub(super) fn loader_of(&self, machine: &Machine) -> Result<String, String> {
        let cpu = if machine.fields.arch == "arm64" { Cpu::Arm64 } else { Cpu::X64 };
        let firmware = match machine.inventory.firmware_mode {
            FirmwareMode::Bios => Firmware::Bios,
            FirmwareMode::Uefi => Firmware::Uefi(cpu),
        };
        let content = self.content();
        let env = content.bootenvs.get(&machine.fields.boot_env).map(|env| &**env);
        match self.loader(firmware, &Who::Known(Box::new(machine.clone())), env) {
            Answer::Load(first) => Ok(first),
            Answer::Silence(reason) => Err(reason),
        }
    }

    /// Whether this is a machine with Secure Boot on, which no other loader starts on. Its GRUB loads
    /// from the server of its address, so that one has to name us.
    fn starts_signed_only(&self, who: &Who) -> bool {
        let Who::Known(machine) = who else { return false };
        let signed_only = machine.inventory.secure_boot;
        if signed_only && !self.boot.settings.leases {
            let machine = &machine.name;
            tracing::info!(target: super::LOG, %machine, "{SIGNED_BY_PROXY}");
        }
        signed_only
    }

    /// The image for UEFI HTTP Boot, for whom it is.
    fn image(&self, client: &Client, cpu: Cpu, who: &Who, addresses: &Addresses) -> Answer {
        if cpu != Cpu::X64 {
            return Answer::Silence("there is no image for HTTP Boot on Arm machines".into());
        }
        if !addresses.http_open {
            return Answer::Silence("HTTP Boot needs plain HTTP; start the server with --http-listen".into());
        }
        let gets = match who {
            Who::Known(machine) => self.gets_image(Some(machine)),
            Who::Stranger => self.gets_image(None),
            // It is asked again when the image is.
            Who::Unclear => Ok(()),
        };
        match gets {
            Ok(()) => Answer::Load(format!("{}/{}", addresses.http(), path_for(client.mac))),
            Err(reason) => Answer::Silence(reason),
        }
    }

    /// Whether there is a door by which iPXE could load.
    fn has_door(&self) -> bool {
        self.boot.settings.http_open || self.boot.settings.tftp_open
    }

    /// What machines that boot from the network will miss, for the log at start.
    pub(crate) fn boot_remarks(&self) -> Vec<String> {
        let leases = self.boot.settings.leases;
        let mut remarks = self.boot.settings.loaders.lacks(leases);
        if !self.boot.settings.tftp_open {
            remarks.push(NO_TFTP.to_owned());
        }
        if self.content().pref("unknownBootEnv") == bootenv::IGNORE {
            remarks.push(IGNORED.to_owned());
        }
        remarks
    }
}

/// What becomes of Secure Boot beside somebody else's DHCP server.
const SIGNED_BY_PROXY: &str = "machines with Secure Boot on load GRUB's files from the server that gave them \
                               their address: have it name this server as next-server, or let them boot by HTTP";
const NO_TFTP: &str = "PXE firmware loads by TFTP and that door is shut; start the server with --tftp-listen \
                       0.0.0.0:69 (UEFI HTTP Boot and iPXE do without)";
const NO_DOOR: &str = "iPXE has nothing to load by; start the server with --http-listen or --tftp-listen";

/// As machines' hardware addresses are written.
fn mac_text(mac: [u8; 6]) -> String {
    MacAddr(mac).to_string()
}

/// What a bootenv calls a firmware.
fn key(firmware: Firmware) -> Option<&'static str> {
    match firmware {
        Firmware::Bios => Some("386-pcbios"),
        Firmware::Uefi(Cpu::X64) => Some("amd64-uefi"),
        Firmware::Uefi(Cpu::Arm64) => Some("arm64-uefi"),
        Firmware::UefiHttp(_) | Firmware::Ipxe => None,
    }
}
