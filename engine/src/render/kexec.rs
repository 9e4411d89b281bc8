//! What an agent boots by itself, without firmware: `machines/UUID/kexec`.

use super::files::RenderError;
use super::scene::Scene;
use crate::bootenv;

impl Scene {
    /// The file that says which kernel to load, when this is its path and there is a kernel: lines
    /// `kernel URL`, `initrd URL` and `params TEXT`.
    pub fn kexec_file(&self, path: &str) -> Option<Result<String, RenderError>> {
        let (machine, env) = (self.machine.as_ref()?, self.bootenv()?);
        let kernel = bootenv::kernel_for(env, self.arch());
        if kernel.is_empty() || path != format!("machines/{}/kexec", machine.id) {
            return None;
        }
        let url =
            |file: &str| format!("{}/{}", self.addresses.http(), bootenv::tree_path(env, self.arch(), file));
        let initrd = bootenv::initrds_for(env, self.arch()).first();
        let initrd = initrd.map(|file| format!("initrd {}\n", url(file))).unwrap_or_default();
        let params = self.text("{{.BootParams}}");
        Some(params.map(|params| format!("kernel {}\n{initrd}params {params}\n", url(kernel))))
    }
}
