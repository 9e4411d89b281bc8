//! Layouts other than a partition for each file system: volumes of a group, mirrors, ciphers. A kernel for whom this
//! works is in our image and in the system that is installed, seldom under the tests of the installer alone.

/// Longer than every change can wait for (`FULL=1`): Debian is built once more, with what starts such a root.
mod full {
    use std::sync::LazyLock;

    use reqwest::Method;
    use serde_json::{Value, json};
    use tests::os_image::Debian;
    use tests::qemu::{Disk, Firmware};

    use crate::site::{Guest, INSTALLED_WITHIN, SOON, Site};

    static DEBIAN: LazyLock<Debian> =
        LazyLock::new(|| Debian::with(&["lvm2", "mdadm", "cryptsetup-initramfs", "zstd"]).unwrap());
    /// Tells on what each file system is, and how many mirrors and ciphers there are.
    const TELL: &str = "\
#cloud-config
runcmd:
  - [sh, -c, \"for place in / /boot /srv; do source=$(findmnt -no SOURCE $place) && echo mounted $place $(lsblk -no TYPE,FSTYPE $source); done > /dev/ttyS0\"]
  - [sh, -c, \"echo swaps $(tail -n +2 /proc/swaps | wc -l) mirrors $(grep -c 'active raid1' /proc/mdstat) ciphers $(cat /sys/block/dm-*/dm/uuid | grep -c ^CRYPT) > /dev/ttyS0\"]
";

    impl Site {
        /// Asks for Debian by this layout; the run's id.
        fn lays_out(&self, guest: &Guest, layout: &Value) -> String {
            let folder = self.path("oci");
            DEBIAN.oci(&folder, "12", &[]).unwrap();
            self.oci_image("debian", &folder, "12");
            self.role("tell", 0, TELL);
            let patch = json!([{ "op": "replace", "path": "/Profiles", "value": ["tell"] }]);
            self.call(Method::PATCH, &format!("/machines/{}", guest.uuid), &patch);
            self.set_param(&guest.uuid, "muster/disk-layout", layout);
            self.set_param(&guest.uuid, "muster/kernel-args", &json!("console=ttyS0"));
            self.provision(guest, "debian")
        }
    }

    #[test]
    fn root_on_a_volume_of_a_group_starts_on_uefi() {
        let site = Site::start("layout-lvm");
        let mut guest = site.approve(site.machine("layout-lvm", Firmware::Uefi));
        let layout = json!({
            "Lvm": { "Group": "system" }, "RootMib": 3_072, "SwapMib": 128,
            "Volumes": [{ "Name": "data", "Mount": "/srv", "Filesystem": "ext4", "SizeMib": 0 }],
        });
        let run = site.lays_out(&guest, &layout);
        site.installed(&mut guest, &run);
        for line in
            ["mounted / lvm ext4", "mounted /boot part ext4", "mounted /srv lvm ext4", "swaps 1 mirrors 0"]
        {
            guest.vm.wait_for_text(line, SOON).unwrap();
        }
    }

    #[test]
    fn root_on_an_encrypted_mirror_asks_for_the_escrowed_key_on_bios() {
        let site = Site::start("layout-luks");
        let second = site.path("second.raw");
        std::fs::File::create(&second).and_then(|file| file.set_len(6 << 30)).unwrap();
        let builder = site.machine("layout-luks", Firmware::Bios).typed_at();
        let mut guest = site.approve(builder.disk(Disk::new(&second, "SYSTEM-2")));
        site.set_param(&guest.uuid, "muster/disk", &json!({ "MinSize": 1 << 30 }));
        let run = site.lays_out(&guest, &json!({ "Raid1": 2, "Luks": true, "SwapMib": 128 }));

        guest.vm.wait_for_prompt("Please unlock disk", 2 * INSTALLED_WITHIN).unwrap();
        let keys = site.call(Method::GET, &format!("/machines/{}/escrow", guest.uuid), &Value::Null);
        guest.vm.type_line(keys[0]["Key"].as_str().unwrap()).unwrap();
        site.installed(&mut guest, &run);
        for line in ["mounted / lvm ext4", "mounted /boot raid1 ext4", "swaps 1 mirrors 2 ciphers 1"] {
            guest.vm.wait_for_text(line, SOON).unwrap();
        }
        site.keeps(keys[0]["Key"].as_str().unwrap(), &guest);
    }
}
