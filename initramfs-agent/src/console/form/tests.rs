//! Whole conversations: what is typed, what is shown, what comes of it.

use super::*;
use crate::console::keys::Decoder;
use proptest::prelude::*;

const START: Duration = Duration::from_secs(10);

pub(in crate::console) fn ports() -> Vec<Port> {
    let port = |index: u8, driver: &str, has_carrier| Port {
        name: format!("eth{index}"),
        mac: MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56 + index]),
        driver: driver.to_owned(),
        has_carrier,
    };
    vec![port(0, "e1000", false), port(1, "virtio_net", true), port(2, "i40e", true)]
}

/// A form after these lines were typed; the last one without Enter.
fn after(lines: &[&str]) -> (Form, Option<Outcome>) {
    let mut form = Form::new(ports(), START);
    let keys = Decoder::default().decode(lines.join("\r").as_bytes());
    let outcome = form.press(&keys, START);
    (form, outcome)
}

fn outcome(lines: &[&str]) -> Outcome {
    after(lines).1.unwrap()
}

fn chosen(lines: &[&str]) -> Choice {
    match outcome(lines) {
        Outcome::Chosen(choice) => choice,
        Outcome::Left => panic!("left"),
    }
}

/// The sentence about the last answer.
fn problem(lines: &[&str]) -> String {
    let mut lines = lines.to_vec();
    lines.push("");
    after(&lines).0.problem.unwrap_or_default()
}

#[test]
fn a_static_port_with_a_vlan_is_what_the_kernel_argument_would_be() {
    let choice =
        chosen(&["1", "", "120", "10.0.0.5/24 fd00::5/64", "10.0.0.1", "10.0.0.53, 10.0.0.54", "", "y", ""]);
    let line = "if=52:54:00:12:34:56,vlan=120,addr=10.0.0.5/24,addr=fd00::5/64,gw=10.0.0.1,dns=10.0.0.53,dns=10.0.0.54";
    assert_eq!(choice.arguments(), [format!("muster.net={line}")]);
    assert_eq!(choice.plan, NetPlan::Static(vec![line.parse().unwrap()]));
}

#[test]
fn two_ports_become_a_bond() {
    let choice = chosen(&["eth1", "52:54:00:12:34:58", "802.3ad", "", "", "", "", "y", ""]);
    assert_eq!(choice.arguments(), ["muster.net=bond=52:54:00:12:34:57+52:54:00:12:34:58,mode=802.3ad"]);
}

#[test]
fn enter_takes_the_first_port_with_a_cable_and_n_takes_all() {
    let choice = chosen(&["", "", "", "", "", "", "y", ""]);
    assert_eq!(choice.arguments(), ["muster.net=if=52:54:00:12:34:57"]);
    let choice = chosen(&["n", "", "y", ""]);
    assert_eq!((choice.plan, choice.proxy), (NetPlan::Automatic, None));
}

#[test]
fn a_machine_with_one_port_is_not_asked_for_a_second() {
    let mut form = Form::new(ports().into_iter().take(1).collect(), START);
    form.press(&[Key::Enter], START);
    assert!(form.page().lines.last().unwrap().starts_with("Which VLAN?"));
}

#[test]
fn a_proxys_password_is_neither_shown_nor_told() {
    let lines = ["n", "http://10.0.0.3:3128", "ann", "p@ss word"];
    let (form, _) = after(&lines);
    assert_eq!(form.page().typed, "*********");
    let with_more = [&lines[..], &[""]].concat();
    let (form, _) = after(&with_more);
    let shown = form.page().lines.join("\n");
    assert!(shown.contains("http://ann:[redacted]@10.0.0.3:3128") && !shown.contains("p@ss"), "{shown}");
    let choice = chosen(&[&lines[..], &["y", ""]].concat());
    assert_eq!(choice.proxy.as_ref().unwrap().login(), Some(("ann", "p@ss word")));
    assert!(!choice.arguments().join(" ").contains("p@ss"));
    assert!(problem(&["n", "http://ann:x@10.0.0.3:3128"]).starts_with("Leave user and password out"));
}

#[test]
fn each_answer_is_checked_at_once_and_stays_to_be_corrected() {
    for (lines, words) in [
        (&["9"][..], "There is no such port."),
        (&["1", "1"], "must be 1 to 8 different links"),
        (&["1", "2", "lacp"], "mode=lacp must be active-backup, 802.3ad"),
        (&["1", "", "5000"], "vlan=5000 must be a number from 1 to 4094"),
        (&["1", "", "5,mtu=9000"], "vlan=mtu=9000 must be a number"),
        (&["1", "", "", "10.0.0.5"], "addr=10.0.0.5 must be an address"),
        (&["1", "", "", "10.0.0.5/24", "fd00::1"], "gw needs an addr of the same family"),
        (&["1", "", "", "", "10.0.0.53 x"], "dns=x must be an IP address"),
        (&["n", "proxy:3128"], "proxy address must begin with http://"),
    ] {
        let problem = problem(lines);
        assert!(problem.contains(words), "{lines:?}: {problem}");
        assert!(problem.ends_with('.'), "{problem}");
    }
    let (mut form, _) = after(&["1", "", "5000", ""]);
    assert_eq!(form.page().typed, "5000");
    form.press(&[Key::Backspace, Key::Enter], START);
    assert!(form.page().lines.contains(&"VLAN     500".to_owned()), "{:?}", form.page());
}

#[test]
fn esc_leaves_what_was_typed_then_the_question_then_the_form() {
    let (mut form, _) = after(&["1", "", "12"]);
    assert_eq!(form.press(&[Key::Back], START), None);
    assert_eq!(form.page().typed, "");
    form.press(&[Key::Back], START);
    assert!(form.page().lines.last().unwrap().starts_with("A second port"));
    form.press(&[Key::Back], START);
    assert!(form.page().lines.last().unwrap().starts_with("Which port?"));
    assert_eq!(form.press(&[Key::Back], START), Some(Outcome::Left));
}

#[test]
fn n_starts_over_and_anything_else_is_asked_again() {
    let lines = ["1", "", "", "", "", ""];
    let (form, outcome) = after(&[&lines[..], &["maybe", ""]].concat());
    assert_eq!((outcome, form.problem.as_deref()), (None, Some("Type y or n.")));
    let (form, _) = after(&[&lines[..], &["n", ""]].concat());
    assert!(form.page().lines.last().unwrap().starts_with("Which port?"));
}

#[test]
fn the_form_waits_five_minutes_for_each_key() {
    let (mut form, _) = after(&["1"]);
    let almost = START + PATIENCE - Duration::from_secs(1);
    assert_eq!(form.press(&[], almost), None);
    assert_eq!(form.press(&[Key::Char('2')], almost), None);
    assert_eq!(form.press(&[], START + PATIENCE), None);
    assert_eq!(form.press(&[], almost + PATIENCE), Some(Outcome::Left));
}

#[test]
fn ports_that_come_late_can_be_chosen() {
    let mut form = Form::new(Vec::new(), START);
    assert!(form.page().lines.last().unwrap().starts_with("No network port is there yet."));
    form.press(&[Key::Enter], START);
    assert_eq!(form.problem.as_deref(), Some("There is no such port."));
    form.set_ports(ports());
    assert_eq!(form.problem, None);
    form.press(&[Key::Enter], START);
    assert!(form.page().lines.first().unwrap().contains("eth1"));
}

proptest! {
    #[test]
    fn whatever_is_typed_ends_in_a_plan_that_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut form = Form::new(ports(), START);
        let outcome = form.press(&Decoder::default().decode(&bytes), START);
        prop_assert!(form.page().typed.len() <= MAX_ANSWER);
        if let Some(Outcome::Chosen(choice)) = outcome {
            prop_assert_eq!(choice.plan.to_string().parse::<NetPlan>().unwrap(), choice.plan);
        }
    }
}
