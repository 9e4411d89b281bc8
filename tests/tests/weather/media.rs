//! What machines boot, with little memory.

use tests::media::{Media, Profile};

use crate::{BOOT_WITHIN, Site, shows_a_code};

#[test]
fn the_memory_floor_is_384_mib_for_cloud_and_512_mib_for_generic() {
    let mut site = Site::fair("memory");
    let floors = [(Profile::Cloud, 384, "52:54:00:07:04:01"), (Profile::Generic, 512, "52:54:00:07:04:02")];
    for (profile, mib, mac) in floors {
        site.media = Media::of(profile).unwrap();
        let port = site.lab.port(mac).unwrap();
        let machine = site.machine(&format!("memory-{mib}"), &site.args()).plug(port);
        let mut vm = machine.memory_mib(mib).start().unwrap();
        shows_a_code(&mut vm, &site.operator, BOOT_WITHIN);
    }
}
