//! A server that is killed while a machine downloads costs seconds, not the download.

use protocol::install::Step;
use tests::os_image::Debian;
use tests::qemu::Firmware;
use tests::wait;

use crate::site::{INSTALLED_WITHIN, Site};

/// Most bytes that may be downloaded for each of the image's.
const AT_MOST: f64 = 1.05;

#[test]
fn download_goes_on_where_it_was_when_the_server_comes_back() {
    let mut site = Site::start("interrupted");
    let layout = site.path("oci");
    Debian::build().unwrap().oci(&layout, "12", &[]).unwrap();
    site.oci_image("debian", &layout, "12");
    let mut guest = site.approve(site.machine("interrupted", Firmware::Uefi));
    let run = site.provision(&guest, "debian");
    let total = wait::until("a third of the download", INSTALLED_WITHIN, || {
        let run = site.run(&run);
        anyhow::ensure!(!run.is_terminal, "the run ended {}: {}", run.status, run.error);
        let told = run.progress;
        Ok((told.step == Step::Write && told.total > 0 && told.bytes > told.total / 3).then_some(told.total))
    });
    let total = total.map_err(|error| guest.vm.failed(&error)).unwrap();
    site.server.kill().unwrap();
    site.server.start_again().unwrap();
    site.operator = site.server.operator().unwrap();
    site.installed(&mut guest, &run);
    let logs = site.job_logs(&guest.uuid);
    let line = logs.lines().find_map(|line| line.split_once("downloaded ")).map(|(_, rest)| rest.to_owned());
    let line = line.unwrap_or_else(|| panic!("the job tells no number of bytes:\n{logs}"));
    let bytes: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    assert!(bytes <= total as f64 * AT_MOST, "{bytes} bytes were downloaded of {total}");
}
