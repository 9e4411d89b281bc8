//! Clocks: dead ones that say 1970, 2038 or 2099, and ones that are three years wrong either way.
//! Each machine reaches a code, says so at most once, and ends with the server's time.

use std::time::{SystemTime, UNIX_EPOCH};

use tests::qemu::Vm;
use tests::wait;

use crate::{BOOT_WITHIN, CHANGE_WITHIN, SCREEN_WITHIN, Site, shows_a_code};

/// Three years, in seconds.
const THREE_YEARS: i64 = 3 * 365 * 24 * 3_600;
/// Largest error of a clock that was set by the server, in seconds (`spec/security.md` 8, check 13).
const MAX_ERROR: u64 = 5;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The machine's clock, asked at its shell: seconds since 1970.
fn clock_of(vm: &mut Vm) -> u64 {
    vm.look_from_here().unwrap();
    vm.type_line("echo \"clock $(date +%s) end\"").unwrap();
    vm.wait_for("the machine's clock", CHANGE_WITHIN, |line| {
        let (_, rest) = line.split_once("clock ")?;
        rest.split_once(" end")?.0.parse().ok()
    })
    .unwrap()
}

/// One machine for each setting of the real-time clock.
fn each_reaches_a_code_and_the_servers_time(name: &str, clocks: &[(&str, String)]) {
    let mut site = Site::fair(name);
    for (label, rtc) in clocks {
        let port = site.lab.port("52:54:00:07:02:01").unwrap();
        let args = format!("{} muster.console=rescue", site.args());
        let machine = site.machine(&format!("clock-{label}"), &args).plug(port).typed_at();
        let mut vm = machine.clock(rtc).start().unwrap();
        vm.wait_for_code(BOOT_WITHIN).unwrap();
        // The first console is the shell's.
        vm.press_keys(&["alt", "f2"]).unwrap();
        shows_a_code(&mut vm, &site.operator, SCREEN_WITHIN);
        // Every one of them is outside the certificate's time, and that is said once.
        assert_eq!(vm.said().unwrap().matches("E22 certificate time").count(), 1, "{label}");
        let remedy = "the clock was set from the server. Nothing to do.";
        vm.wait_for_words_on_screen(remedy, "E22", SCREEN_WITHIN).unwrap();
        wait::until(&format!("the clock of {label}"), CHANGE_WITHIN, || {
            let error = clock_of(&mut vm).abs_diff(now());
            Ok((error < MAX_ERROR).then_some(()))
        })
        .map_err(|error| vm.failed(&error))
        .unwrap();
    }
}

/// The real-time clock's setting `seconds` from now.
fn away(seconds: i64) -> String {
    rtc(now().checked_add_signed(seconds).unwrap())
}

/// `2026-03-01T12:00:00` of seconds since 1970 (days to date: Howard Hinnant, `civil_from_days`).
fn rtc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[test]
fn a_clock_three_years_wrong_either_way_ends_with_the_servers_time() {
    assert_eq!(rtc(951_827_696), "2000-02-29T12:34:56");
    let clocks = [("behind", away(-THREE_YEARS)), ("ahead", away(THREE_YEARS))];
    each_reaches_a_code_and_the_servers_time("clock-wrong", &clocks);
}

#[test]
fn dead_clocks_of_1970_2038_and_2099_end_with_the_servers_time() {
    let clocks = [
        ("1970", "1970-01-01T00:00:00".to_owned()),
        ("2038", "2038-01-20T00:00:00".to_owned()),
        ("2099", "2099-12-31T23:59:00".to_owned()),
    ];
    each_reaches_a_code_and_the_servers_time("clock-dead", &clocks);
}
