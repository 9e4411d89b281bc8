//! Programs that the driver starts beside itself, and what their ends mean.

use super::{Action, Driver};
use crate::power::Power;
use crate::runner::Ending;
use crate::runner::child::{Ended, MESH};
use crate::runner::settings::Reach;
use crate::service::Belongings;
use crate::state::{Observation, Stage};
use protocol::agent_api::{RunnerTicket, TerminalTicket};
use protocol::config::CaCertificate;
use protocol::ids::MachineId;
use std::path::PathBuf;

/// A child to start.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    /// The runner of jobs.
    Runner(&'a RunnerTicket),
    /// The machine's side of a terminal.
    Terminal(&'a TerminalTicket),
    /// The machine as a member of a mesh network.
    Member(&'a RunnerTicket),
}

impl Driver {
    /// Starts the machine's side of a terminal.
    pub(super) fn start_terminal(&mut self, ticket: &TerminalTicket) {
        let Stage::Run(running) = self.flow.stage() else { return };
        let (server, machine) = (self.flow.server(), running.approved.machine.uuid);
        self.start(server, machine, Order::Terminal(ticket));
    }

    /// Starts a child; why that is not possible is told, and tried again later.
    pub(super) fn start(&mut self, server: usize, machine: MachineId, order: Order<'_>) {
        self.publish_names();
        let settings = &self.brief.luggage.settings;
        let Some(server) = settings.servers.get(server) else { return };
        let pem: String = settings.ca.iter().map(CaCertificate::pem).collect();
        let ca = settings.server_id.as_deref().filter(|_| !settings.ca.is_empty());
        let proxy = self.desk.proxy();
        let reach = Reach {
            machine: machine.0,
            token: match order {
                Order::Runner(ticket) | Order::Member(ticket) => &ticket.token,
                Order::Terminal(ticket) => &ticket.secret,
            },
            server,
            pins: &self.runner.pins(&settings.ca_hash),
            ca: ca.map(|id| (pem.as_str(), id)),
            proxy: proxy.as_ref(),
        };
        match order {
            Order::Runner(ticket) => self.runner.start(&reach, &ticket.boot_env),
            Order::Terminal(ticket) => self.terminal.start_terminal(&reach, ticket.id.to_string()),
            Order::Member(_) => {
                let folder = self.brief.luggage.belongings.as_ref().map(Belongings::mesh);
                self.member.start_member(Some(&reach), folder.unwrap_or_else(|| MESH.into()));
            }
        }
    }

    /// Obeys what the runner's end says.
    pub(super) fn see_end(&mut self, ended: Ended) -> Result<Option<Action>, Power> {
        self.around.work = None;
        let now = self.uptime.now();
        let stays = self.brief.luggage.belongings.as_ref().and_then(Belongings::why_it_stays);
        match ended {
            Ended::Well { ending: Ending::Reboot, .. } if stays.is_some() => {
                self.console.say(now, &stays.unwrap_or_default());
                return Ok(self.observe(Observation::RunnerEnded { useful: false }));
            }
            Ended::Well { ending: Ending::Reboot, .. } => return Err(Power::Reboot),
            Ended::Well { ending: Ending::PowerOff, .. } => return Err(Power::Off),
            Ended::Well { ending: Ending::Stop, .. } => {
                self.console.say(now, "stopped as its task asked; work goes on when the machine is runnable");
            }
            Ended::Well { ending: Ending::Idle | Ending::Refused, .. } => {}
            Ended::Badly(ref why) => self.console.say(now, &format!("the runner of jobs ended: {why}")),
        }
        Ok(self.observe(Observation::RunnerEnded { useful: ended.was_useful() }))
    }

    /// Where an installed system keeps what it knew last of its mesh network.
    pub(super) fn known_mesh(&self) -> Option<PathBuf> {
        self.brief.luggage.belongings.as_ref().and_then(Belongings::known_mesh)
    }

    /// The member ended: unless the machine left the network, another one is wanted.
    pub(super) fn see_member_end(&mut self, ended: &Ended) -> Option<Action> {
        if let Ended::Badly(why) = ended {
            self.console.say(self.uptime.now(), &format!("the member of the mesh network ended: {why}"));
        }
        let left = matches!(ended, Ended::Well { ending: Ending::Idle, .. });
        self.observe(Observation::MemberEnded { left })
    }
}
