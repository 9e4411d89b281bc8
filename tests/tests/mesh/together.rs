//! Three machines, one of them behind a router that hides it, through everything that happens to a mesh network, one after
//! the other: a boot is what costs time.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use protocol::mesh::HealthCheck;
use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Question;
use tests::wait;

use crate::capture::shows_no_plain_text;
use crate::member::{MARKED_LINE, Member, SHORT, reach};
use crate::secrets::Key;
use crate::site::{MESH, Place, Site, TOLD_WITHIN};

/// From the assignment, by the click for all of them or by a call for one, to answers of everybody, over both families:
/// machines whose tools are there already, as they are where anything ran before. Where they are not, their download comes
/// first.
const TOGETHER_WITHIN: Duration = Duration::from_secs(5);
/// The whole of what is done and seen in the dashboard, beside machines that are translated; ten seconds when it is quiet.
const SEEN_WITHIN: Duration = Duration::from_secs(120);
/// From the removal to the last answer.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(2);
/// How long answers are looked for after the removal.
const STAYS_CUT_OFF: Duration = Duration::from_secs(5);
/// From the param of the relay to answers by it.
const RELAYED_WITHIN: Duration = Duration::from_secs(90);
/// From the end of the obstacle to a session: one is tried each 25 s at the latest.
const DIRECT_WITHIN: Duration = Duration::from_secs(60);
/// How long the server is away in every test run, and how long in the long one.
const AWAY: Duration = Duration::from_secs(20);
/// Added to interval times threshold, for a virtual address to answer elsewhere.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// The virtual address, and where its service answers.
const VIP: &str = "10.99.0.200";
const SERVICE: u16 = 8_080;
/// Whether a direct tunnel was dropped on purpose is seen for as long.
const OBSTRUCTED: Duration = Duration::from_secs(4);

/// A time that is promised for machines of iron. Here three are translated on two processors that others may use as well:
/// `FULL=1`, on a calm computer, holds to it; every other run allows three times as long, and writes down what it took.
fn promised(time: Duration) -> Duration {
    if std::env::var_os("FULL").is_some_and(|value| !value.is_empty()) { time } else { 3 * time }
}

/// Three machines: `near` and `middle` on the bridge, `far` behind the router.
struct Story {
    site: Site,
    near: Member,
    middle: Member,
    far: Member,
}

impl Story {
    fn begin(name: &str) -> Self {
        let mut site = Site::start(name);
        let machines = site.powers_on([Place::Bridge, Place::Bridge, Place::Behind]);
        let [near, middle, far] = site.welcomes(machines);
        let mut story = Self { site, near, middle, far };
        // In clear text and beside the mesh network: what the captures must show.
        let (to_near, to_middle) = (story.near.outside, story.middle.outside);
        story.near.pings_in_clear(to_middle);
        story.middle.pings_in_clear(to_near);
        story.far.pings_in_clear(to_near);
        story
    }

    fn addresses(&self) -> [Vec<IpAddr>; 3] {
        [&self.near, &self.middle, &self.far].map(|member| self.site.addresses(member))
    }

    /// Everybody gets an answer of everybody else over IPv4 and IPv6.
    fn reach_each_other(&mut self, within: Duration) -> Duration {
        let [near, middle, far] = self.addresses();
        let others = |one: &[IpAddr], other: &[IpAddr]| [one, other].concat();
        let pairs = [others(&middle, &far), others(&near, &far), others(&near, &middle)];
        let [to_near, to_middle, to_far] = pairs;
        let mut members = [(&mut self.near, to_near), (&mut self.middle, to_middle), (&mut self.far, to_far)];
        reach(&mut members, within)
    }

    /// An operator selects all of the three in the dashboard and assigns them with a click, and sees them join.
    fn are_assigned(&mut self) {
        let script = self.site.script("real/mesh.mjs");
        let mut clicked = None;
        script.play(SEEN_WITHIN, |question| self.answer(question, &mut clicked)).unwrap();
    }

    /// Does what the script asks for; `clicked` is the time right before the click.
    fn answer(&mut self, question: &Question, clicked: &mut Option<Instant>) -> Result<Value> {
        match question.what.as_str() {
            "who is there" => {
                let names = [&self.near, &self.middle, &self.far].map(|member| &member.name);
                return Ok(json!({ "mesh": MESH, "names": names }));
            }
            "Assign is about to be clicked" => *clicked = Some(Instant::now()),
            "they reach each other" => {
                let clicked = clicked.context("nothing was clicked")?;
                self.reach_each_other(promised(TOGETHER_WITHIN).saturating_sub(clicked.elapsed()));
                note(&self.near, "assigned", clicked.elapsed());
            }
            what => bail!("nobody here knows how to do {what:?}"),
        }
        Ok(Value::Null)
    }

    /// `near` is removed: nobody reaches it and it reaches nobody, and what was its interface is gone; the others go on.
    fn one_is_removed(&mut self) {
        let [own, of_middle, of_far] = self.addresses();
        let [(v4, _), (_, v6)] = [families(&of_middle), families(&own)];
        self.near.pings_on(v4);
        self.middle.pings_on(v6);
        let pinging = [&mut self.near, &mut self.middle];
        for member in pinging {
            wait::until("an answer", SHORT, || Ok((member.answers()? > 0).then_some(()))).unwrap();
        }
        let removed = Instant::now();
        self.site.take_out(&self.near);
        let took = last_answer([&mut self.near, &mut self.middle], removed);
        note(&self.near, "removed", took);
        assert!(took <= CUT_OFF_WITHIN, "the removed machine was cut off after {took:?}");
        self.near.has_left();
        for address in of_middle.iter().chain(&of_far) {
            assert!(!self.near.reaches(*address), "the removed machine reaches {address}");
        }
        for address in own {
            assert!(!self.middle.reaches(address), "the removed machine answers at {address}");
            assert!(!self.far.reaches(address), "the removed machine answers at {address}");
        }
        reach(&mut [(&mut self.middle, of_far), (&mut self.far, of_middle)], SHORT);
    }

    /// `near` comes back, and the router lets no datagram through between it and `far`: they have no way, until `middle`
    /// may relay; and a tunnel of their own when nothing is in its way any more.
    fn two_need_a_relay(&mut self) {
        self.site.nat.drop_datagrams(self.near.outside).unwrap();
        self.site.assign(&self.near);
        let [of_near, of_middle, of_far] = self.addresses();
        reach(&mut [(&mut self.near, of_middle)], TOLD_WITHIN);
        wait::throughout(OBSTRUCTED, || {
            for address in &of_far {
                anyhow::ensure!(!self.near.reaches(*address), "{address} answers without a way there");
            }
            Ok(())
        })
        .unwrap();

        self.relays(&json!(true));
        let mut pair = [(&mut self.near, of_far.clone()), (&mut self.far, of_near.clone())];
        let took = reach(&mut pair, RELAYED_WITHIN);
        note(&self.near, "relayed", took);
        self.goes("relay", false, TOLD_WITHIN);

        self.site.nat.pass_datagrams(self.near.outside).unwrap();
        let lifted = Instant::now();
        self.goes("direct", true, DIRECT_WITHIN);
        note(&self.near, "direct", lifted.elapsed());
        // Nobody relays, so that an answer comes directly.
        self.relays(&json!(false));
        reach(&mut [(&mut self.near, of_far), (&mut self.far, of_near)], TOLD_WITHIN);
    }

    /// `middle` is marked as a relay, or is not.
    fn relays(&self, value: &Value) {
        let param = format!("/machines/{}/params/muster/mesh-relay", self.middle.uuid);
        self.site.call(Method::POST, &param, value);
    }

    /// Waits until the way between `near` and `far` is told to be this one, at both ends.
    fn goes(&mut self, way: &str, has_session: bool, within: Duration) {
        let told = wait::until(&format!("the way {way}"), within, || {
            let ways = [self.site.way(&self.near, &self.far)?, self.site.way(&self.far, &self.near)?];
            Ok(ways.iter().all(|(told, up)| told == way && *up == has_session).then_some(()))
        });
        let peers = self.site.get(&format!("/machines/{}/peers", self.near.uuid));
        told.map_err(|error| self.far.vm.failed(&error.context(peers.to_string()))).unwrap();
    }

    /// Without the server pings go on, none of them lost, between all of the three.
    fn server_is_away(&mut self, during: Duration) {
        let [of_near, of_middle, of_far] = self.addresses();
        self.site.stop_server();
        let ring = [(&mut self.near, of_middle), (&mut self.middle, of_far), (&mut self.far, of_near)];
        let count = during.as_secs();
        let mut ring: Vec<(&mut Member, Vec<IpAddr>)> = ring.into_iter().collect();
        for (member, addresses) in &mut ring {
            let each: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let ping = format!("ping -q -c {count} -i 1 -W 5 -p 4d $to");
            let all = format!("for to in {}; do {ping} & done; wait", each.join(" "));
            member.shell.begin(&all).unwrap();
        }
        for (member, addresses) in &mut ring {
            let said = member.shell.end(during + SHORT).map_err(|error| member.vm.failed(&error)).unwrap();
            let whole = said.text.matches(&format!("{count} packets received, 0% packet loss")).count();
            assert_eq!(whole, addresses.len(), "{} loses packets:\n{}", member.name, said.text);
        }
        self.site.start_server();
    }

    /// A virtual address of `near` and `middle`, whose machine is gone from one moment to the next, answers at the other
    /// one, as the third one sees it.
    fn virtual_address_moves(mut self) -> Remaining {
        let check = HealthCheck {
            kind: protocol::mesh::CheckKind::Tcp,
            target: format!(":{SERVICE}"),
            interval: 1,
            timeout: 1,
            healthy_threshold: 1,
            unhealthy_threshold: 3,
            ..HealthCheck::default()
        };
        let within = promised(Duration::from_millis(check.lease()) + MOVED_WITHIN);
        for member in [&mut self.near, &mut self.middle] {
            member.does(&format!(
                "mkdir -p /run/www && echo '{MARKED_LINE} {}' > /run/www/who && httpd -p {SERVICE} -h /run/www",
                member.name
            ));
        }
        let vip = json!({
            "Name": "front", "MeshNetwork": MESH, "Prefix": format!("{VIP}/32"), "Enabled": true,
            "Machines": [self.near.uuid, self.middle.uuid], "Check": check,
        });
        self.site.call(Method::POST, "/vips", &vip);
        answers(&mut self.far, MARKED_LINE, TOLD_WITHIN);
        // Both may hold it: one that has not heard of the address yet cannot take it over.
        let vip = wait::until("both candidates to be healthy", TOLD_WITHIN, || {
            let vip = self.site.operator.call(Method::GET, "/vips/front", &Value::Null)?;
            let members = vip["Members"].as_array().into_iter().flatten();
            Ok((members.filter(|member| member["Healthy"] == true).count() == 2).then_some(vip))
        })
        .unwrap();
        let holder = vip["Holder"].as_str().unwrap_or_default().to_owned();
        let (mut gone, mut heir) = match holder {
            holder if holder == self.near.uuid => (self.near, self.middle),
            holder if holder == self.middle.uuid => (self.middle, self.near),
            _ => panic!("nobody holds it, and it answers: {vip}"),
        };
        assert!(gone.has_address(VIP) && !heir.has_address(VIP), "who holds it has it: {vip}");

        let far = &mut self.far;
        gone.vm.cut_power().unwrap();
        let took = answers(far, &format!("{MARKED_LINE} {}", heir.name), within + SHORT);
        note(&heir, "moved", took);
        assert!(took <= within, "the virtual address moved after {took:?}, later than {within:?}");
        assert!(heir.has_address(VIP));
        let after = self.site.get("/vips/front");
        assert_eq!(after["Holder"], json!(heir.uuid));
        assert!(after["Epoch"].as_u64() > vip["Epoch"].as_u64(), "another holder, another epoch");
        Remaining { site: self.site, members: [gone, heir, self.far] }
    }
}

/// Addresses of a machine by family.
fn families(addresses: &[IpAddr]) -> (IpAddr, IpAddr) {
    let one = |is: fn(&IpAddr) -> bool| *addresses.iter().find(|address| is(address)).unwrap();
    (one(IpAddr::is_ipv4), one(IpAddr::is_ipv6))
}

/// When any of these members, which ping on, was answered last, from `since` on. Their pings are over then.
fn last_answer(mut members: [&mut Member; 2], since: Instant) -> Duration {
    let (mut known, mut last) = (0, Duration::ZERO);
    wait::throughout(STAYS_CUT_OFF, || {
        let answers = members.each_mut().map(|member| member.answers());
        let count = answers.into_iter().sum::<anyhow::Result<usize>>()?;
        if count > known {
            (known, last) = (count, since.elapsed());
        }
        Ok(())
    })
    .unwrap();
    for member in members {
        member.shell.end(SHORT).map_err(|error| member.vm.failed(&error)).unwrap();
    }
    last
}

/// What is left to look at.
struct Remaining {
    site: Site,
    members: [Member; 3],
}

impl Member {
    /// It has this address on the interface.
    fn has_address(&mut self, address: &str) -> bool {
        self.can(&format!("ip address show {} | grep -qF ' {address}/'", protocol::mesh::INTERFACE))
    }
}

/// Waits until the service at the virtual address says this to a machine; four clients ask in turns, each for a second,
/// since one that asked a machine that is gone asks that one again.
fn answers(member: &mut Member, text: &str, within: Duration) -> Duration {
    let begun = Instant::now();
    let ask = format!("timeout 1 wget -q -O - http://{VIP}:{SERVICE}/who | grep -qF '{text}'");
    let until = format!("until [ -e /run/answered ] || {ask}; do sleep 0.1; done; : > /run/answered");
    let each = format!("for late in 0 0.25 0.5 0.75; do (sleep $late; {until}) & done");
    let all = format!("rm -f /run/answered; {each}; until [ -e /run/answered ]; do sleep 0.05; done");
    let said = member.shell.run(&all, within).map_err(|error| member.vm.failed(&error)).unwrap();
    let took = begun.elapsed();
    assert_eq!(said.code, 0, "{}", said.text);
    took
}

/// Leaves a time in the machine's folder.
fn note(member: &Member, what: &str, took: Duration) {
    let line = format!("{:.2} s\n", took.as_secs_f64());
    std::fs::write(member.vm.folder().join(format!("time-{what}")), line).unwrap();
}

#[test]
fn three_machines_are_one_network_whatever_lies_between_them_and_their_server() {
    let mut story = Story::begin("together");
    story.are_assigned();
    let first = [&mut story.near, &mut story.middle, &mut story.far].map(Key::of);
    story.one_is_removed();
    story.two_need_a_relay();
    // It came back, perhaps with another one.
    let keys: Vec<Key> = first.into_iter().chain([Key::of(&mut story.near)]).collect();
    story.server_is_away(AWAY);
    let Remaining { site, members } = story.virtual_address_moves();
    members.iter().for_each(shows_no_plain_text);
    site.keeps_no_key(&keys, &members.each_ref());
}

/// Longer than every change can wait for (`FULL=1`).
mod full {
    use super::*;

    /// Five handshakes of each tunnel, and long after every token of the machines is over.
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn tunnels_stay_up_while_the_server_is_away_for_ten_minutes() {
        let mut story = Story::begin("away");
        story.are_assigned();
        story.server_is_away(LONG);
        story.reach_each_other(TOLD_WITHIN);
        for member in [&story.near, &story.middle, &story.far] {
            shows_no_plain_text(member);
        }
    }
}
